"""Compute when a task is due and what it missed, and collect the tasks that code declares."""
