"""The queries of the dashboard and the commands; the number of tasks and runs does not matter."""
