"""Text that a terminal, a log, a database or a page would obey if it were passed on as it is."""

import re

OBEYED = (
    "\n\r\t\0\b\x07\x1b\x7f"
    "\x85\x90\x9b\x9d"
    "\u2028\u2029"
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    "\xad\u180e\u200b\u2060\u2063\ufeff\ufffb\U000e0041"
)
"""One or more of each class: C0, C1, separators, bidirectional controls, invisible ones."""

FORGED = "2026-05-05 12:00:00,000 sisy CRITICAL forged"
HOSTILE = f"tea\n{FORGED}\r{FORGED}\x1b[2J\x1b]0;title\x07{OBEYED}end"
STORABLE = HOSTILE.replace("\0", "")
"""The same, but for NUL, which PostgreSQL stores in no text."""

_LOOKS_OBEYED = re.compile(f"[{re.escape(OBEYED.replace(chr(10), ''))}]")


def flaw_in(text: str) -> str:
    """Return what of an output would be obeyed, or is a line that was forged; empty if nothing."""
    if found := _LOOKS_OBEYED.search(text):
        return f"{found[0]!r} in {text[max(0, found.start() - 60) : found.end() + 20]!r}"
    forged = [line for line in text.splitlines() if line.startswith(FORGED)]
    return f"a forged line in {text[:300]!r}" if forged else ""
