"""Monitors: listeners, connections, the event bus, and the event loop behind them."""
