"""The positions, heights and colours of the cells of the load map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo

from sisy.reports.load import Cell

LEVELS = 5
HEIGHT = 80  # pixels of the highest column


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A cell with its position in percent of the width and its level from 0 to 5.

    Attributes:
        number: how many runs start in it, above the base.
    """

    x: float
    width: float
    height: int
    level: int
    is_over: bool
    number: str
    cell: Cell


def squares(cells: Sequence[Cell], slots: int, most: float, base: float = 0.0) -> list[Square]:
    """Return cells side by side.

    Args:
        slots: the number of runs that can execute at once; 0 if no worker is running.
        most: the number of runs that start in the busiest cell of the map.
        base: the number at which heights and levels begin.
    """
    width = 100 / len(cells) if cells else 100.0
    return [
        Square(
            x=place * width,
            width=width,
            height=round(HEIGHT * max(0.0, cell.starts - base) / (most - base)) if most else 0,
            level=_level(max(0.0, cell.starts - base), most - base),
            is_over=bool(slots) and cell.busy > slots,
            number=_above(cell.starts, base),
            cell=cell,
        )
        for place, cell in enumerate(cells)
    ]


def _above(starts: float, base: float) -> str:
    """Return a number in the space of a cell, or by how much it is above the base."""
    if not base:
        return shortened(starts)
    more = shortened(float(round(starts - base)))
    return f"+{more}" if more else ""


def _level(starts: float, most: float) -> int:
    if not starts or not most:
        return 0
    return max(1, min(LEVELS, round(LEVELS * math.sqrt(starts / most))))


def shortened(number: float) -> str:
    """Return a number in the space of a cell: ``7``, ``950``, ``12k``."""
    if number < 1:
        return "" if not number else "<1"
    if number < 1000:
        return f"{number:.0f}"
    return f"{number / 1000:.0f}k" if number < 1e6 else f"{number / 1e6:.0f}M"


def by_day(cells: Sequence[Cell], zone: tzinfo) -> list[tuple[str, list[Cell | None]]]:
    """Return the cells of each day in a zone, with a place for each of 24 hours.

    An hour that occurs twice, when the clocks go back, has one cell for both.
    """
    days: dict[str, list[Cell | None]] = {}
    for cell in cells:
        local = cell.start.astimezone(zone)
        row = days.setdefault(f"{local:%a %d %b}", [None] * 24)
        there = row[local.hour]
        if there is None:
            row[local.hour] = cell
        else:
            starts, busy = there.starts + cell.starts, max(there.busy, cell.busy)
            row[local.hour] = Cell(start=there.start, starts=starts, busy=busy)
    return list(days.items())
