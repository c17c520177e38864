"""A note of whether this process serves the WebSocket of the dashboard."""

_is_served = False


def note_served() -> None:
    """Record that an application with the WebSocket was made in this process."""
    global _is_served
    _is_served = True


def is_served() -> bool:
    """Return whether one was made."""
    return _is_served
