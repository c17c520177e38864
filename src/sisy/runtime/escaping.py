r"""Escape untrusted text, so that it is safe in a log line or a terminal.

A label or an error message may contain control characters: a line break that forges the next log
line, an escape sequence that rewrites the terminal, a control that reverses the order of letters.
`escaped` writes each as Python does, such as ``\n`` or ``\x1b``.
"""

import re

OBEYED = (
    r"\x00-\x1f\x7f-\x9f"  # C0 and C1, including line breaks and tabs
    r"\u2028\u2029"  # line and paragraph separators
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the property Bidi_Control
    r"\u00ad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"  # invisible
    r"\ud800-\udfff"  # lone surrogates
    r"\U000e0000-\U000e007f"  # tags
)
r"""Control and invisible characters, as the inside of a character class.

The joiners U+200C and U+200D are not included, because Persian, Hindi and emoji need them.
"""

_ONE = re.compile(f"[{OBEYED}]")
_ONE_BUT_LINE_BREAKS = re.compile(f"(?!\n)[{OBEYED}]")


def escaped(text: object) -> str:
    """Return a text on one line, with control and invisible characters escaped."""
    return _ONE.sub(_as_python_writes_it, str(text))


def escaped_lines(text: str) -> str:
    """Return a text of several lines, such as a traceback, escaped except for line breaks."""
    return _ONE_BUT_LINE_BREAKS.sub(_as_python_writes_it, text)


def escaped_json(text: str) -> str:
    """Return equivalent JSON, with control characters escaped except for line breaks."""
    return _ONE_BUT_LINE_BREAKS.sub(_as_json_writes_it, text)


def first_obeyed(text: str) -> str:
    """Return the first control or invisible character; an empty text if there is none."""
    found = _ONE.search(text)
    return found[0] if found else ""


def _as_python_writes_it(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _as_json_writes_it(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2))
