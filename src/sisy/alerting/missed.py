"""Find tasks whose occurrences were missed, for example because no heartbeat was running."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo

from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.alerting.advised_commands import backfill_command
from sisy.alerting.heartbeat_gaps import Gap, gap_that_explains, gaps_since
from sisy.alerting.problem import Problem, of_task
from sisy.models import Alert, Run
from sisy.records.problems import Kind
from sisy.store.judging import Ended, latest_ended

MIN_GAP = timedelta(minutes=1)  # so that a restart of the heartbeat opens no alert


def lasting(missed: Mapping[int, Sequence[Run]]) -> dict[int, Sequence[Run]]:
    """Return those of the tasks that have missed occurrences for a minute or longer.

    Args:
        missed: the rows of missed occurrences by the key of their task, the newest first.
    """
    return {pk: runs for pk, runs in missed.items() if _span(runs) >= MIN_GAP}


def judge_missed(
    using: str, missed: Mapping[int, Sequence[Run]], now: datetime
) -> Iterator[Problem]:
    """Yield the problems of tasks that have missed occurrences.

    Args:
        missed: what `lasting` returns.
    """
    gaps: Sequence[Gap] = ()
    if missed:
        gaps = gaps_since(using, min(_began(runs) for runs in missed.values()), now)
    for pk, runs in missed.items():
        newest, began = runs[0], _began(runs)
        number = sum(run.count for run in runs)
        words = ngettext("%d occurrence was missed", "%d occurrences were missed", number)
        cause = reason_of(newest, gaps, timezone.get_default_timezone())
        yield Problem(
            kind=Kind.MISSED,
            subject=of_task(pk),
            label=newest.label,
            since=began,
            why=f"{words % number}: {cause}",
            cause=cause,
            fix=_fix(runs, number),
            task=pk,
            run=newest.pk,
            queue=newest.queue,
            evidence=newest.pk,
        )


def _fix(runs: Sequence[Run], number: int) -> str:
    if number == 1:
        return gettext("To run it now, use 'manage.py sisy_runs retry %d'.") % runs[0].pk
    words = gettext("To run them now, use 'manage.py %s'. Add --dry-run to only list them.")
    return words % backfill_command(runs[-1], runs[0])


def _began(runs: Sequence[Run]) -> datetime:
    """Return when the first of the occurrences that are missed was due."""
    began: datetime = runs[-1].due_at or runs[-1].planned_at
    return began


def _span(runs: Sequence[Run]) -> timedelta:
    span: timedelta = runs[0].planned_at - _began(runs)
    return span


def rows_of(using: str, alerts: Iterable[Alert]) -> dict[int, Run]:
    """Return the rows of missed occurrences that are the evidence of alerts, by key."""
    gaps = [alert.evidence for alert in alerts if alert.kind == Kind.MISSED]
    return Run.objects.using(using).only("planned_at").in_bulk(gaps) if gaps else {}


def is_after_missed(run: Ended, alert: Alert, rows: Mapping[int, Run]) -> bool:
    """Return whether a run ended after the occurrences were missed that an alert is about.

    Args:
        rows: what `rows_of` returns.
    """
    # The run that makes up for missed occurrences is stored before the row of the others.
    gap = rows.get(alert.evidence)
    since = alert.opened_at if gap is None else gap.planned_at
    return run.finished_at is not None and run.finished_at >= since


def made_good(using: str, alerts: Iterable[Alert]) -> set[int]:
    """Return the keys of alerts about missed occurrences whose tasks have succeeded since."""
    missed = [alert for alert in alerts if alert.kind == Kind.MISSED]
    tasks = {alert.task_id: 1 for alert in missed if alert.task_id is not None}
    newest = latest_ended(using, tasks)
    rows = rows_of(using, missed)
    return {
        alert.pk
        for alert in missed
        for run in newest.get(alert.task_id or 0, ())
        if run.is_success and is_after_missed(run, alert, rows)
    }


def reason_of(newest: Run, gaps: Sequence[Gap], zone: tzinfo) -> str:
    """Return why occurrences were missed, with the time without a heartbeat if one explains it."""
    reason, first = newest.reason, newest.due_at or newest.planned_at
    gap = gap_that_explains(gaps, first, newest.due_until or first)
    return gap.in_place_of_reason(reason, zone) if gap else reason
