"""When a task is due, what it missed, and what code declares."""
