"""One module a driver; none of them knows another."""
