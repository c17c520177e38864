"""Small column charts: the last hour of a queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy import conf
from sisy.reports import formatting
from sisy.reports.queue_history import NO_TIME, QueueHistories

WIDTH, HEIGHT = 4, 26  # pixels: the width of a column with its gap, and the height of the chart
LOWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that stands on the floor of its chart."""

    x: int
    y: int
    height: int
    looks: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChart:
    """The columns that are not empty, from left to right.

    Attributes:
        slices: how many columns the chart has room for.
        words: the text alternative of the chart.
    """

    columns: list[Column]
    slices: int
    words: str

    @property
    def width(self) -> int:
        return WIDTH * self.slices

    height = HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCharts:
    """The charts of a queue.

    Attributes:
        total: how many of its runs ended in the hour.
    """

    ended: ColumnChart
    queued: ColumnChart
    oldest: ColumnChart
    total: int


def charts_of(histories: QueueHistories) -> dict[str, QueueCharts]:
    """Return the charts of each queue, by its name."""
    return {name: _charts(histories, name) for name in histories.of}


def _charts(histories: QueueHistories, name: str) -> QueueCharts:
    history = histories.of[name]
    alarming = conf.get_settings().queue_alert_seconds
    late = [age.total_seconds() for age in history.oldest]
    return QueueCharts(
        total=sum(history.ended),
        ended=_chart(
            histories,
            history.ended,
            lambda value: ngettext("%s run finished", "%s runs finished", value) % f"{value:,}",
            gettext("Finished per 2 minutes: at most %s."),
        ),
        queued=_chart(
            histories,
            history.queued,
            lambda value: ngettext("%s run queued", "%s runs queued", value) % f"{value:,}",
            gettext("Queued in the last hour: at most %s."),
        ),
        oldest=_chart(
            histories,
            late,
            lambda value: gettext("oldest run queued for %s") % _span(value),
            gettext("Age of the oldest queued run in the last hour: at most %s."),
            shown=_span,
            looks=lambda value: "bad" if value > alarming else "quiet",
        ),
    )


def _chart(
    histories: QueueHistories,
    values: Sequence[Any],
    words_of: Callable[[Any], str],
    most_in_words: str,
    *,
    shown: Callable[[Any], str] = "{:,}".format,
    looks: Callable[[Any], str] = lambda value: "open",
) -> ColumnChart:
    most = max(values)
    columns = []
    for place, value in enumerate(values):
        if value <= 0:
            continue
        height = max(LOWEST, round(HEIGHT * value / most))
        begin, end = map(timezone.localtime, histories.slice_of(place))
        columns.append(
            Column(
                x=WIDTH * place,
                y=HEIGHT - height,
                height=height,
                looks=looks(value),
                words=f"{begin:%H:%M}-{end:%H:%M}: {words_of(value)}",
            )
        )
    return ColumnChart(columns=columns, slices=len(values), words=most_in_words % shown(most))


def _span(seconds: float) -> str:
    return formatting.span(timedelta(seconds=round(seconds)) if seconds >= 1 else NO_TIME)
