"""Runs that other engines execute in their own processes, after a heartbeat has sent them."""
