"""The nearest right thing, for the message that refuses a wrong one."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question after the one of ``known`` that is most like ``word``.

    It begins with a space, to be put behind a sentence; empty if none is like it.
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
