"""The queries of the dashboard and the commands. Their cost hardly grows with the tables."""
