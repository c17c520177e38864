"""Count the successful runs beside failed ones that are too close to be drawn one by one.

Of the older runs of a task, only those that did not succeed are read one by one. Without the
others, a column of failed runs would be red from top to bottom.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sisy.reports.timeline.bars import Bar, Columns, Successes, in_shared_columns
from sisy.reports.timeline.window import Window
from sisy.store.timeline import StretchOfTask, count_succeeded

MAX_COLUMNS = 100  # of all tasks together
MAX_READ = 20_000  # runs that are counted, of all tasks together
MIN_OF_EACH, MAX_OF_EACH = 100, 500  # of each column

Place = tuple[int, int]
"""The key of a task, and the number of a column."""


def count_successes(
    using: str,
    rows: Sequence[Sequence[Bar]],
    before: Mapping[int, int],
    unplanned: Collection[tuple[int, datetime]],
    window: Window,
) -> tuple[Columns, dict[Place, list[Successes]]]:
    """Return the columns for runs that are too close, and their successful runs.

    The columns are wider if there would be too many to count in.

    Args:
        rows: the bars of each row.
        before: of tasks whose older runs were not all read, the key of the oldest one of the
            newest runs, which were.
        unplanned: successful runs among the older ones that no schedule planned.
    """
    columns, places = _places(rows, before, window)
    found: dict[Place, list[Successes]] = defaultdict(list)
    stretches = [
        StretchOfTask(
            task=task,
            before=before[task],
            start=max(window.start, columns.start(number)),
            end=min(window.end, columns.start(number + 1)),
        )
        for task, number in places
    ]
    most = max(MIN_OF_EACH, min(MAX_OF_EACH, MAX_READ // max(1, len(places))))
    for index, (count, first, last) in count_succeeded(using, stretches, most).items():
        found[places[index]].append(
            Successes(number=count, first=first, last=last, is_all=count < most)
        )
    wanted = set(places)
    for task, moment in unplanned:
        if (task, columns.number(moment)) in wanted:
            one = Successes(number=1, first=moment, last=moment)
            found[task, columns.number(moment)].append(one)
    return columns, found


def _places(
    rows: Sequence[Sequence[Bar]], before: Mapping[int, int], window: Window
) -> tuple[Columns, list[Place]]:
    """Return columns, and those with older runs of a task: not more than can be counted in."""
    # Once columns are as wide as the window, a task has runs in two of them.
    most = max(MAX_COLUMNS, 2 * len(before))
    width = 1
    while True:
        columns = Columns.of(window, width)
        places = {
            (task, number)
            for row in rows
            for number, bars in in_shared_columns(row, columns).items()
            for bar in bars
            if (task := bar.gravest.task_id or 0) in before and bar.run < before[task]
        }
        if len(places) <= most:
            return columns, sorted(places)
        width *= 2


def of_tasks(
    found: Mapping[Place, Sequence[Successes]], tasks: Collection[int]
) -> dict[int, list[Successes]]:
    """Return the successful runs of some tasks by the numbers of columns."""
    of_columns: dict[int, list[Successes]] = defaultdict(list)
    for (task, number), some in found.items():
        if task in tasks:
            of_columns[number] += some
    return of_columns
