"""Suggest the nearest valid name in error messages."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question whether the user meant the known word that is nearest to ``word``.

    It begins with a space, to be added to a sentence. Empty if no word is similar.
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
