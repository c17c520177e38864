"""Join the state of a run and the reason that its row stores to one statement."""

STOPPED = "It was stopped."
"""The reason of a process that stopped on request."""


def with_reason(words: str, reason: str) -> str:
    """Return "was cancelled: The host restarts.", or "was cancelled by ann." for its own reason.

    Args:
        words: the state as a verb, whose last word the reason may begin with, as in
            "Cancelled by ann."
    """
    last = words.rpartition(" ")[2]
    if reason.lower().startswith((f"{last} ", f"{last}.")):
        return words + reason[len(last) :]
    return f"{words}: {reason}" if reason else f"{words}."
