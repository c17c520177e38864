"""The notes of tasks in one line, for lists and alerts."""

MAX_LENGTH = 120


def first_line(note: str) -> str:
    """Return the first line of a note without the signs of Markdown."""
    line = next(filter(None, map(str.strip, note.splitlines())), "")
    plain = line.lstrip("#>*+- ").replace("**", "").replace("`", "")
    return plain[:MAX_LENGTH]
