"""The legend of the timeline, which lists only the marks that are drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from sisy.reports.timeline import Track

MARKS = {
    "bar good": _("succeeded"),
    "bar bad": _("failed, timed out or lost"),
    "bar warn": _("missed or skipped"),
    "bar open": _("queued or running"),
    "bar quiet": _("cancelled"),
    "undrawn": _("many successful runs"),
    "undrawn open": _("many queued runs"),
    "forecast": _("upcoming"),
    "forecast overlaps": _("upcoming, will probably overlap"),
    "crowded": _("upcoming, too frequent to show individually"),
    "now": _("now"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A mark's class in the style sheet, and its meaning."""

    looks: str
    words: Any

    @property
    def is_line(self) -> bool:
        return self.looks in ("crowded", "now")


def legend(tracks: Sequence[Track], *, is_now_shown: bool) -> list[Entry]:
    """Return the marks that are drawn on the tracks, in a fixed order."""
    drawn = {looks for track in tracks for looks in _drawn(track)}
    if is_now_shown:
        drawn.add("now")
    return [Entry(looks=looks, words=words) for looks, words in MARKS.items() if looks in drawn]


def _drawn(track: Track) -> Iterator[str]:
    yield from (f"bar {part.looks}" for bar in track.bars for part in bar.slices)
    yield from ("forecast overlaps" if bar.overlaps else "forecast" for bar in track.upcoming.bars)
    if track.undrawn:
        yield "undrawn"
    if track.queued:
        yield "undrawn open"
    if track.upcoming.crowded:
        yield "crowded"
