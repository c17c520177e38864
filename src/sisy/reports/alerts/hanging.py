"""The facts about a run that takes too long: its time, its last output, and the next run."""

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone
from django.utils.translation import gettext

from sisy.models import Run, RunState, Task
from sisy.reports import formatting
from sisy.reports.durations import usual_of
from sisy.reports.output import output_of
from sisy.reports.unplanned import THEN
from sisy.runtime.durations import in_zone, rounded_text

MAX_LINE = 120  # characters of a line of output


def hanging_in_words(using: str, pk: int, task: Task, now: datetime, *, in_full: bool) -> str:
    """Return how long a run has been running, its last output, and what becomes of the next run.

    Empty if it is not running any more.

    Args:
        pk: the key of the run.
        in_full: whether the reader may see what runs print.
    """
    runs = Run.objects.using(using).defer("payload", "result", "error")
    run = runs.filter(pk=pk, state=RunState.RUNNING, started_at__isnull=False).first()
    return "" if run is None else " ".join(_sentences(using, run, task, now, in_full=in_full))


def _sentences(using: str, run: Run, task: Task, now: datetime, *, in_full: bool) -> Iterator[str]:
    assert run.started_at is not None
    usual = usual_of(using, task.pk)
    # An alert that was opened for an earlier run may be about this one by now.
    words = gettext("Run #%(run)d has been running for %(time)s.")
    yield words % {"run": run.pk, "time": rounded_text(now - run.started_at)}
    if usual is not None:
        yield gettext("Its typical duration is %s.") % formatting.span(usual)
    line = _last_line(run) if in_full else ""
    if line:
        yield gettext("The last line that it printed: '%s'.") % line
    if task.next_run is not None and task.overlap in THEN:
        due = in_zone(task.next_run, timezone.get_current_timezone())
        words = gettext(
            "The next run is due at %(due)s. If this one is still running then, %(then)s."
        )
        yield words % {"due": due, "then": THEN[task.overlap]}
    if task.timeout is None:
        yield gettext("The task has no timeout that would end it.")


def _last_line(run: Run) -> str:
    output = output_of(run)
    lines = (output.tail or output.head).split("\n") if output else []
    return next((line[:MAX_LINE] for line in reversed(lines) if line.strip()), "")
