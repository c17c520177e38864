"""The messages between processes, and the log lines about runs."""
