"""When a task is due, which occurrences it missed, and which tasks code declares."""
