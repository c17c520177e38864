"""Tables that fit the terminal, with colours by meaning.

A column is as wide as its longest cell. If a table is too wide, its moments lose their year and
zone, then columns without any value are left out, then those that the table can spare, and then
the widest columns of text are made narrower. Their cells are cut, so that each row is one line,
unless the table names its last column as one that wraps. In a terminal that is too small for that,
columns are left out from the right. A description wraps long values.
"""

import re
import textwrap
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import Any

from django.utils import timezone

from sisy.reports import formatting
from sisy.runtime.escaping import escaped

GAP = "  "
NOTHING = formatting.NOTHING
LEAST_WIDTH = 12  # characters to which a column of text is narrowed at most
LEAST_COLUMNS = 2
NARROW = 4  # characters of any column, in a terminal that is too small for all of them

COMMAND = re.compile(r"'manage\.py [^']*'|manage\.py (?:(?!\.(?: |$)| [A-Z][a-z]).)+")
"""A command in quotes, or one that ends with its sentence."""
JOINT = "\x1f"  # stands for a space at which no line is broken

Paint = Callable[[str, str], str]
"""Colours a text by a look: ``good``, ``bad``, ``warn``, ``open`` or ``quiet``."""


class AtLeast(int):
    """A count that stopped at its limit."""


class Lines(str):
    """A text whose line breaks are kept."""

    __slots__ = ()


class Look(str):
    """A text with a meaning that a terminal shows as a colour."""

    look: str

    def __new__(cls, text: object, look: str) -> "Look":
        made = super().__new__(cls, str(text))
        made.look = look
        return made


def state(value: str, words: str | None = None) -> str:
    """Return the stored state of a run or a task, or other words, with the look of the state."""
    return Look(value if words is None else words, formatting.LOOKS.get(value, ""))


def unpainted(text: str, look: str) -> str:
    return text


def table(
    rows: Sequence[Mapping[str, Any]],
    width: int,
    paint: Paint = unpainted,
    *,
    wraps: str = "",
    spare: Sequence[str] = (),
) -> str:
    """Return rows as a table under their keys; each row is one line.

    Args:
        wraps: the last column, if its texts are wrapped instead of cut.
        spare: columns that are left out before texts are cut, in this order.
    """
    names = list(rows[0])
    cells = {name: [shown(row[name]) for row in rows] for name in names}
    if _excess(_natural(cells), width) > 0:
        cells = {name: [_in_short(row[name]) for row in rows] for name in names}
    if _excess(_natural(cells), width) > 0:
        cells = {name: column for name, column in cells.items() if set(column) != {NOTHING}}
    for name in spare:
        if _excess(_natural(cells), width) > 0:
            cells.pop(name, None)
    texts_of = {name for name in names if _are(rows, name, str) and not _are(rows, name, Look)}
    while (last := _last_of_many(cells, wraps)) and _excess(_least(cells, texts_of), width) > 0:
        del cells[last]
    kept = list(cells) or names[:1]
    is_text = [name in texts_of for name in kept]
    is_number = [_are(rows, name, int) and not _are(rows, name, bool) for name in kept]
    widths = _fitted(_natural(cells), is_text, width)
    lines = [
        _line([_title(name) for name in kept], widths, is_number),
        GAP.join("-" * each for each in widths),
    ]
    for number, row in enumerate(rows):
        texts = [cells[name][number] for name in kept]
        looks = [_look(row[name]) for name in kept]
        more: list[str] = []
        room = widths
        if kept[-1] == wraps:
            texts[-1], *more = parts = wrapped(texts[-1], widths[-1])
            room = [*widths[:-1], max(widths[-1], *map(cells_of, parts))]  # for a long command
        lines.append(_line(texts, room, is_number, looks, paint))
        blanks = [""] * (len(kept) - 1)
        lines += [_line([*blanks, text], room, is_number, looks, paint) for text in more]
    return "\n".join(lines)


def description(facts: Iterable[tuple[str, Any]], width: int, paint: Paint = unpainted) -> str:
    """Return names and values as lines; long values are wrapped."""
    pairs = list(facts)
    margin = max((len(name) for name, _ in pairs), default=0) + len(GAP)
    lines = []
    for name, value in pairs:
        texts = [escaped(line) for line in value.splitlines()] if isinstance(value, Lines) else []
        room = max(LEAST_WIDTH, width - margin)
        parts = [part for text in texts or [shown(value)] for part in wrapped(text, room)]
        for n, part in enumerate(parts):
            title = "" if n else _title(name)
            painted = paint(title, _look(name)) if title else ""
            begin = painted + " " * (margin - len(title))
            lines.append(f"{begin}{paint(part, _look(value))}".rstrip())
    return "\n".join(lines)


def shown(value: Any) -> str:
    """Return a value as people read it: moments in the project's time zone, nothing as a dash."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, AtLeast):
        return f"{int(value):,}+"
    if isinstance(value, datetime):
        zone = timezone.get_default_timezone()
        return f"{timezone.localtime(value, zone):%Y-%m-%d %H:%M:%S %Z}"
    if isinstance(value, timedelta):
        return formatting.span(value)
    if isinstance(value, list | tuple):
        return escaped(", ".join(map(str, value))) or NOTHING
    if isinstance(value, dict):
        return escaped(", ".join(f"{name}: {each}" for name, each in value.items())) or NOTHING
    return escaped(value)


def cells_of(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(map(_cells, text))


def cut(text: str, width: int) -> str:
    """Return a text that takes at most ``width`` cells; an ellipsis shows that it was longer."""
    if cells_of(text) <= width:
        return text
    kept, used = [], 1
    for character in text:
        used += _cells(character)
        if used > width:
            break
        kept.append(character)
    return f"{''.join(kept).rstrip()}…"


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _title(name: str) -> str:
    return name.replace("_", " ")


def _look(value: Any) -> str:
    return str(getattr(value, "look", ""))


def _are(rows: Sequence[Mapping[str, Any]], name: str, kind: type) -> bool:
    return all(isinstance(row[name], kind) for row in rows)


def _in_short(value: Any) -> str:
    if not isinstance(value, datetime):
        return shown(value)
    return f"{timezone.localtime(value, timezone.get_default_timezone()):%m-%d %H:%M}"


def _natural(cells: Mapping[str, Sequence[str]]) -> list[int]:
    """Return how wide each column is if nothing is cut."""
    return [max(map(cells_of, [name, *column])) for name, column in cells.items()]


def _least(cells: Mapping[str, Sequence[str]], texts: Collection[str]) -> list[int]:
    """Return how wide each column is if texts are cut."""
    pairs = zip(cells, _natural(cells), strict=True)
    return [min(width, LEAST_WIDTH) if name in texts else width for name, width in pairs]


def _last_of_many(cells: Mapping[str, Sequence[str]], wraps: str) -> str | None:
    """Return the last column that can be left out; the first ones say what a row is about."""
    spared = [name for name in cells if name != wraps]
    return spared[-1] if len(spared) > LEAST_COLUMNS else None


def _excess(widths: Sequence[int], most: int) -> int:
    """Return by how much a table is too wide."""
    return sum(widths) + len(GAP) * (len(widths) - 1) - most


def _fitted(widths: Sequence[int], is_text: Sequence[bool], most: int) -> list[int]:
    """Return widths that fit: texts are narrowed first, and then all columns."""
    fitted = list(widths)
    excess = _excess(fitted, most)
    for least, may_narrow in ((LEAST_WIDTH, is_text), (NARROW, [True] * len(fitted))):
        while excess > 0:
            chosen = [n for n, yes in enumerate(may_narrow) if yes and fitted[n] > least]
            if not chosen:
                break
            fitted[max(chosen, key=fitted.__getitem__)] -= 1
            excess -= 1
    return fitted


def _line(
    cells: Sequence[str],
    widths: Sequence[int],
    is_number: Sequence[bool],
    looks: Sequence[str] = (),
    paint: Paint = unpainted,
) -> str:
    parts = []
    for cell, width, is_right, look in zip_longest(cells, widths, is_number, looks, fillvalue=""):
        text = cut(str(cell), int(width))
        padding = " " * (int(width) - cells_of(text))
        painted = paint(text, str(look))
        parts.append(padding + painted if is_right else painted + padding)
    return GAP.join(parts).rstrip()


def wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines that take at most ``width`` cells each.

    Only a command to copy, such as ``manage.py sisy_runs show 7``, may be longer: it stays whole.
    """
    whole = COMMAND.sub(lambda found: found[0].replace(" ", JOINT), text)
    if whole == text:
        return _wrapped(text, width)
    lines = textwrap.wrap(whole, width, break_on_hyphens=False, break_long_words=False)
    parts = [[line] if JOINT in line else _wrapped(line, width) for line in lines]
    return [part.replace(JOINT, " ") for found in parts for part in found]


def _wrapped(text: str, width: int) -> list[str]:
    parts = textwrap.wrap(text, width, break_on_hyphens=False)
    if any(cells_of(part) > width for part in parts):  # some characters take two cells
        parts = textwrap.wrap(text, max(1, width // 2), break_on_hyphens=False)
    return parts or [text]
