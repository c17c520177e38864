"""The foundations of processes, threads and loops."""
