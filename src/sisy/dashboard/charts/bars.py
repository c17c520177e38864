"""The bars of the timeline: the runs of a track and its upcoming occurrences, in little time."""

from collections.abc import Iterator
from datetime import timedelta

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from sisy.dashboard.page_request import PageRequest
from sisy.records.choices import TROUBLE_STATES
from sisy.reports import formatting
from sisy.reports.run_filter import UNSUCCESSFUL, RunFilter
from sisy.reports.timeline.bars import BAR_HEIGHT, Bar
from sisy.reports.timeline.queued import QueuedStretch
from sisy.reports.timeline.tracks import Track
from sisy.reports.timeline.upcoming import ForecastBar

ROUND = ' rx="2"'
SECOND = timedelta(seconds=1)


def of_track(page_request: PageRequest, track: Track) -> SafeString:
    """Return the bars of a track as the content of its SVG."""
    # The overview has hundreds of bars and is sent again whenever a run ends. As templates, they
    # took more time than all else on the page.
    before, _, after = page_request.address("run", 0).rpartition("0")
    runs = page_request.address("runs")

    def address_of(bar: Bar) -> str:
        return f"{runs}?{query}" if (query := _query(bar)) else f"{before}{bar.run}{after}"

    parts = [
        *(_queued(stretch, runs) for stretch in track.queued),
        *(_past(bar, address_of(bar)) for bar in track.bars),
        *_upcoming(track),
    ]
    return mark_safe("".join(parts))


def _query(bar: Bar) -> str:
    """Return the filters that list the runs with which a bar is in trouble; empty if it is one."""
    state, number = bar.state, bar.states[bar.state]
    if bar.failed:
        state, number = UNSUCCESSFUL, bar.failed
    if number == 1 or bar.state not in TROUBLE_STATES:
        return ""
    start = bar.begin.replace(microsecond=0).isoformat()
    until = (bar.end.replace(microsecond=0) + SECOND).isoformat()
    task = str(bar.gravest.task_id)
    return RunFilter(state=state, start=start, until=until, task=task).query()


def _queued(stretch: QueuedStretch, runs: str) -> str:
    query = RunFilter(state="queued", task=str(stretch.task)).query()
    return (
        f'<a href="{escape(f"{runs}?{query}")}" tabindex=-1><title>{escape(stretch.words)}</title>'
        f'<rect class="undrawn open" x="{_number(stretch.x)}%" y="9" '
        f'width="{_number(stretch.width)}%" height="6"/></a>'
    )


def _past(bar: Bar, address: str) -> str:
    rects = "".join(
        f'<rect class="bar {escape(part.looks)}" x="{_number(bar.x)}%" y="{part.y}" '
        f'width="{_number(bar.width)}%" height="{part.height}"'
        f"{ROUND if part.height == BAR_HEIGHT else ''}/>"
        for part in bar.slices
    )
    # The title is the name of the link as well.
    words = escape(bar.words)
    return f'<a href="{escape(address)}" tabindex=-1><title>{words}</title>{rects}</a>'


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
