"""Alerts, and the messages that tell people and other services about them."""
