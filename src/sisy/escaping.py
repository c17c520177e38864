r"""Text of others, made safe for a line of a log or a terminal.

A label or the text of an error may hold characters that are not seen but obeyed: a line break that
forges the next line of a log, an escape sequence that rewrites a terminal, a control that turns
the order of letters round. `escaped` writes each as Python does, such as ``\n`` or ``\x1b``.
"""

import re

OBEYED = (
    r"\x00-\x1f\x7f-\x9f"  # C0 and C1, line breaks and tabs among them
    r"\u2028\u2029"  # the separators of lines and paragraphs
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # all that have the property Bidi_Control
    r"\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # seen by nobody
    r"\ud800-\udfff"  # halves of surrogate pairs
    r"\U000e0000-\U000e007f"  # tags
)
r"""Characters that are obeyed or invisible, as a set of a regular expression.

The joiners U+200C and U+200D are not among them: Persian, Hindi and emoji are written with them.
"""

_ONE = re.compile(f"[{OBEYED}]")
_ONE_BUT_LINE_BREAKS = re.compile(f"(?!\n)[{OBEYED}]")


def escaped(text: object) -> str:
    """Return a text on one line, without characters that are obeyed."""
    return _ONE.sub(_as_python_writes_it, str(text))


def escaped_lines(text: str) -> str:
    """Return a text of several lines, as a traceback has, without what is obeyed otherwise."""
    return _ONE_BUT_LINE_BREAKS.sub(_as_python_writes_it, text)


def escaped_json(text: str) -> str:
    """Return JSON that means the same, without characters that are obeyed but line breaks."""
    return _ONE_BUT_LINE_BREAKS.sub(_as_json_writes_it, text)


def first_obeyed(text: str) -> str:
    """Return the first character that is obeyed or invisible; empty if there is none."""
    found = _ONE.search(text)
    return found[0] if found else ""


def _as_python_writes_it(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _as_json_writes_it(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))
