"""The squares of a task's latest runs: a link for each run, in little markup."""

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from sisy.dashboard.page_request import PageRequest
from sisy.models import RunState
from sisy.reports.squares import LatestRuns, Square


def of_row(page_request: PageRequest, label: str, latest: LatestRuns) -> SafeString:
    """Return the squares of a row in the order of its runs; empty if it has none."""
    # A page has thousands of squares and is sent again whenever a run ends. So this is no
    # template, only one address is looked up, and the usual state has no class.
    before, _, after = page_request.address("run", 0).rpartition("0")
    links = (_link(square, before, after) for square in latest.squares)
    return format_html(
        '<div class="sisy-squares" role="group" aria-label="{}">{}</div>',
        label,
        mark_safe("".join(links)),
    )


def _link(square: Square, before: str, after: str) -> str:
    address = escape(f"{before}{square.run}{after}")
    looks = "" if square.state == RunState.SUCCEEDED else f' class="{escape(square.state)}"'
    # The pages of tasks list the same runs. A keyboard does not pass through all squares.
    return f'<a href="{address}" tabindex=-1{looks} title="{escape(square.words)}"></a>'
