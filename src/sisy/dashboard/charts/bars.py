"""The bars of the timeline: the runs of a track and its upcoming occurrences, in little time."""

from collections.abc import Iterator

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from sisy.dashboard.page_request import PageRequest
from sisy.reports import formatting
from sisy.reports.timeline.tracks import BAR_HEIGHT, Bar, Track
from sisy.reports.timeline.upcoming import ForecastBar

ROUND = ' rx="2"'


def of_track(page_request: PageRequest, track: Track) -> SafeString:
    """Return the bars of a track as the content of its SVG."""
    # The overview has hundreds of bars and is sent again whenever a run ends. As templates, they
    # took more time than all else on the page.
    before, _, after = page_request.address("run", 0).rpartition("0")
    parts = [*(_past(bar, before, after) for bar in track.bars), *_upcoming(track)]
    return mark_safe("".join(parts))


def _past(bar: Bar, before: str, after: str) -> str:
    rects = "".join(
        f'<rect class="bar {escape(part.looks)}" x="{_number(bar.x)}%" y="{part.y}" '
        f'width="{_number(bar.width)}%" height="{part.height}"'
        f"{ROUND if part.height == BAR_HEIGHT else ''}/>"
        for part in bar.slices
    )
    # The title is the name of the link as well.
    address, words = escape(f"{before}{bar.run}{after}"), escape(bar.words)
    return f'<a href="{address}" tabindex=-1><title>{words}</title>{rects}</a>'


def _upcoming(track: Track) -> Iterator[str]:
    usual = ""
    if track.usual is not None:
        usual = f" · {gettext('typical duration')} {formatting.span(track.usual)}"
    overlapping = gettext("will probably overlap the previous run")
    for bar in track.upcoming.bars:
        words = f"{formatting.short(bar.due)}{usual}"
        yield _forecast(bar, f"{words} · {overlapping}" if bar.overlaps else words)


def _forecast(bar: ForecastBar, words: str) -> str:
    looks = "forecast overlaps" if bar.overlaps else "forecast"
    return (
        f'<rect class="{looks}" x="{_number(bar.x)}%" y="4" width="{_number(bar.width)}%" '
        f'height="16" rx="2"><title>{escape(words)}</title></rect>'
    )


def _number(value: float) -> str:
    """Return a number that is not localized."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
