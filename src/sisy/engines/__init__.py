"""Runs on other engines, as the heartbeat has handed them over: in their processes, not ours."""
