"""Fixtures of the whole house; a room's own are in its folder."""

pytest_plugins = ["qmpd.testing.oracle.plugin"]
