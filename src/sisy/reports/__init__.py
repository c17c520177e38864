"""The queries of dashboard and commands, bounded whatever the number of tasks and runs."""
