"""Judge runs that ended badly: failing and lost runs, and missed occurrences.

Each such run has an entry in the table of troubled runs, which says whether it was judged. So no
run is overlooked, whenever its transaction commits, and none is judged twice. A run names a task,
and the task's latest finished runs decide: an alert opens if the last ``alert_after`` of them
failed, or if it fails intermittently (`flapping`). Runs without a scheduled task, such as those of
``run_once()`` and ``django.tasks``, are grouped by the function that they call. No index of the
ledger finds these, so only its newest runs are read.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from django.db import transaction
from django.utils.translation import gettext, ngettext

from sisy import conf
from sisy.alerting.flapping import LATEST, failures_in, flaps, in_a_row, in_words, is_reason
from sisy.alerting.missed import judge_missed
from sisy.alerting.opening import Closing, open_alerts
from sisy.alerting.problem import Problem, of_call, of_task, with_cause
from sisy.models import Alert, Run, RunState, Task
from sisy.records.problems import Kind
from sisy.records.small_tables import TroubledRun
from sisy.store.judging import Ended, latest_ended, latest_of_calls, unjudged

BATCH = 500  # troubled runs that are judged together
CALM = timedelta(hours=24)  # without a failed run, until an alert about a function closes

STREAK_KINDS = (Kind.FAILING, Kind.LOST, Kind.BROKEN)
"""A task has at most one alert of these kinds. It is over when a run succeeds."""


def judge_failures(using: str, now: datetime) -> bool:
    """Open alerts for runs that ended badly since the last time. Return whether more are left."""
    pks = unjudged(using, BATCH)
    runs = list(
        Run.objects.using(using)
        .filter(pk__in=pks)
        .defer("payload", "result", "error")
        .order_by("-pk")
    )
    with transaction.atomic(using=using):
        open_alerts(using, problems_of(using, runs, now), now)
        TroubledRun.objects.using(using).filter(run_id__in=pks).update(is_judged=True)
    return len(pks) == BATCH


def problems_of(using: str, runs: Sequence[Run], now: datetime) -> Iterator[Problem]:
    """Yield the problems that runs which ended badly show, if they still last.

    Args:
        runs: the newest run comes first.
    """
    keys = [run.task_id for run in runs if run.task_id is not None]
    tasks = Task.objects.using(using).defer("_extra_data").in_bulk(keys)
    failed: dict[int, list[Run]] = defaultdict(list)
    missed: dict[int, list[Run]] = defaultdict(list)
    called: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        task = tasks.get(run.task_id or 0)
        if task is None or not task.schedule:
            called[run.target_path].append(run)
        elif run.state == RunState.MISSED:
            missed[task.pk].append(run)
        else:
            failed[task.pk].append(run)
    yield from judge_missed(using, missed, now)
    yield from _failing_tasks(using, failed, tasks, now)
    yield from _failing_calls(using, called, tasks, now)


def _threshold(task: Task | None) -> int:
    """Return how many runs must fail in a row; 0 for no alert."""
    own = None if task is None else task.alert_after
    return conf.get_settings().alert_after if own is None else own


def _failing_tasks(
    using: str, failed: Mapping[int, Sequence[Run]], tasks: Mapping[int, Task], now: datetime
) -> Iterator[Problem]:
    limits = {pk: limit for pk in failed if (limit := _threshold(tasks[pk]))}
    open_ones = Alert.objects.using(using).open().filter(kind__in=STREAK_KINDS)
    for alert in open_ones.filter(task_id__in=list(limits)).only("task_id"):
        limits.pop(alert.task_id or 0, None)
    latest = latest_ended(using, {pk: max(limit, LATEST) for pk, limit in limits.items()})
    for pk, limit in limits.items():
        runs, newest = latest.get(pk, []), failed[pk][0]
        is_missing = bool(tasks[pk].target_error and _streak(runs))
        if found := _failures(newest, runs, limit, now, is_missing=is_missing):
            yield _failing(newest, *found, task=pk, is_missing=is_missing)


def _failing_calls(
    using: str, called: Mapping[str, Sequence[Run]], tasks: Mapping[int, Task], now: datetime
) -> Iterator[Problem]:
    limits = {}
    for path, runs in called.items():
        if limit := max(_threshold(tasks.get(run.task_id or 0)) for run in runs):
            limits[path] = limit
    latest = latest_of_calls(using, list(limits))
    for path, limit in limits.items():
        known = {run.pk: Ended(run.pk, run.state, run.finished_at) for run in called[path]}
        known |= {run.pk: run for run in latest.get(path, ())}
        ended = sorted(known.values(), key=lambda run: -run.pk)[: max(limit, LATEST)]
        if found := _failures(called[path][0], ended, limit, now):
            yield _failing(called[path][0], *found)
            _note_last(using, of_call(path), called[path][0].pk)


def _note_last(using: str, subject: str, run: int) -> None:
    """Note the newest failed run of a function whose alert is open."""
    alerts = Alert.objects.using(using).open().filter(subject=subject, evidence__lt=run)
    alerts.update(evidence=run)


def _streak(latest: Sequence[Ended]) -> list[Ended]:
    """Return the failed runs since the last success, the newest first."""
    return list(takewhile(lambda run: not run.is_success, latest))


def _failures(
    run: Run, latest: Sequence[Ended], limit: int, now: datetime, *, is_missing: bool = False
) -> tuple[str, Sequence[Ended]] | None:
    """Return what an alert says, and the failures that show it; None if none opens.

    Args:
        run: the newest of the runs that failed.
        latest: the latest runs, the newest first.
    """
    streak = _streak(latest)
    if not is_missing and flaps(latest, now, limit):
        return in_words(latest), failures_in(latest)
    return (_words(run, len(streak)), streak) if is_missing or is_reason(streak, limit) else None


def _failing(
    run: Run,
    words: str,
    failures: Sequence[Ended],
    *,
    task: int | None = None,
    is_missing: bool = False,
) -> Problem:
    kind = Kind.LOST if run.state == RunState.LOST else Kind.FAILING
    since = failures[-1].finished_at
    cause = _cause_of(run)
    return Problem(
        kind=Kind.BROKEN if is_missing else kind,
        subject=of_call(run.target_path) if task is None else of_task(task),
        label=run.label,
        since=since or run.finished_at or run.planned_at,
        why=with_cause(words, cause),
        cause=cause,
        fix=_fix(run, is_missing=is_missing),
        task=task,
        run=run.pk,
        queue=run.queue,
        evidence=run.pk,
    )


def _words(run: Run, number: int) -> str:
    words = ngettext("The latest run failed", "The last %d runs failed", number)
    words = words % number if "%d" in words else words
    if run.state == RunState.LOST and number == 1:
        words = gettext("The latest run was lost")
    return words


def _cause_of(run: Run) -> str:
    if run.state in (RunState.TIMED_OUT, RunState.LOST):
        return run.reason.rstrip(".")
    # The text of an error may contain anything that its function knew, so only its class counts.
    return run.error_class.rpartition(".")[2]


def _fix(run: Run, *, is_missing: bool) -> str:
    if is_missing:
        return gettext("Restore the function, or set another one (target_path).")
    return retry_in_words(run.pk)


def retry_in_words(run: int) -> str:
    """Return what to do about a failed run."""
    return gettext("Fix the cause, and then retry with 'manage.py sisy_runs retry %d'.") % run


def over_of_tasks(using: str, alerts: Collection[Alert], now: datetime) -> Iterator[Closing]:
    """Yield the alerts about runs of tasks after which a run has succeeded, if that lasts."""
    pks = [alert.task_id for alert in alerts if alert.task_id is not None]
    tasks = Task.objects.using(using).only("label", "alert_after").in_bulk(pks)
    newest = latest_ended(using, dict.fromkeys(tasks, 1))
    gaps = [alert.evidence for alert in alerts if alert.kind == Kind.MISSED]
    recorded = Run.objects.using(using).only("planned_at").in_bulk(gaps) if gaps else {}
    succeeded = {pk for pk, runs in newest.items() if runs[0].is_success}
    # What still fails is open in any case, so its history is not read in each round.
    recovered = {alert.task_id or 0 for alert in alerts if alert.kind != Kind.MISSED} & succeeded
    history = newest | latest_ended(using, dict.fromkeys(recovered, LATEST))
    for alert in alerts:
        pk = alert.task_id or 0
        if pk not in tasks:
            yield alert, gettext("The task was deleted.")
        elif (
            pk in succeeded
            and _is_later(newest[pk][0], alert, recorded)
            and not _flaps_still(alert, history[pk], now, _threshold(tasks[pk]))
        ):
            yield alert, _words_of_success(alert, history[pk])


def _flaps_still(alert: Alert, latest: Sequence[Ended], now: datetime, limit: int) -> bool:
    if alert.kind == Kind.MISSED or not limit:
        return False
    return flaps(latest, now, limit, opened_by=alert.evidence)


def _words_of_success(alert: Alert, latest: Sequence[Ended]) -> str:
    """Return why an alert is over. After one that flapped, more than one run has succeeded."""
    number = in_a_row(latest) if alert.kind != Kind.MISSED else 1
    words = ngettext("The latest run succeeded.", "The last %d runs succeeded.", number)
    return words % number if "%d" in words else words


def _is_later(run: Ended, alert: Alert, recorded: Mapping[int, Run]) -> bool:
    """Return whether a run came after those that were the reason for an alert."""
    if alert.kind != Kind.MISSED:
        return run.pk > alert.evidence
    # The run that makes up for missed occurrences is stored before the row of the others.
    gap = recorded.get(alert.evidence)
    since = alert.opened_at if gap is None else gap.planned_at
    return run.finished_at is not None and run.finished_at >= since


def over_of_calls(using: str, alerts: Collection[Alert], now: datetime) -> Iterator[Closing]:
    """Yield the alerts about functions that have succeeded since, or are not failing any more."""
    paths = {alert.subject.removeprefix("call:"): alert for alert in alerts}
    latest = latest_of_calls(using, list(paths))
    last = Run.objects.using(using).only("finished_at")
    ended = last.in_bulk([alert.evidence for alert in alerts])
    for path, alert in paths.items():
        runs = latest.get(path, [])[:LATEST]
        failed = ended.get(alert.evidence)
        is_success = bool(runs) and runs[0].is_success and runs[0].pk > alert.evidence
        if is_success and not _flaps_still(alert, runs, now, _threshold(None)):
            yield alert, _words_of_success(alert, runs)
        elif failed is None or (failed.finished_at and now - failed.finished_at >= CALM):
            yield alert, gettext("No run has failed in the last 24 hours.")
