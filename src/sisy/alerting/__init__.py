"""Alerts, and the messages that report them to people and other services."""
