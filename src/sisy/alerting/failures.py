"""Judge runs that ended badly: failing and lost runs, and missed occurrences.

Each such run has an entry in the table of troubled runs, which says whether it was judged. So no
run is overlooked, whenever its transaction commits, and none is judged twice. A run names a task,
and the task's latest finished runs decide: an alert opens if the last ``alert_after`` of them
failed, or if it fails intermittently (`flapping`). Runs without a scheduled task, such as those of
``run_once()`` and ``django.tasks``, are grouped by the function that they call. No index of the
ledger finds these, so only its newest runs are read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext, ngettext

from sisy import conf
from sisy.alerting.advised_commands import words_if_it_flaps, words_to_retry
from sisy.alerting.evidence import STREAK_KINDS, by_subject, note_evidence, without
from sisy.alerting.flapping import (
    LATEST,
    WINDOW,
    failures_in,
    flaps,
    in_a_row,
    in_words,
    is_reason,
    shows_too_little,
)
from sisy.alerting.missed import is_after_missed, judge_missed, lasting, rows_of
from sisy.alerting.opening import Closing, open_alerts
from sisy.alerting.problem import Problem, of_call, of_task, open_key, with_cause
from sisy.models import Alert, Run, RunState, Task, TaskState
from sisy.records.choices import FAILED_STATES
from sisy.records.problems import Kind
from sisy.records.small_tables import TroubledRun
from sisy.runtime.log import logger
from sisy.store.isolation import isolating
from sisy.store.judging import Ended, latest_ended, latest_of_calls, unjudged

BATCH = 500  # troubled runs that are judged together
JUDGED_COLUMNS = ("label", "schedule", "state", "target_error", "alert_after")  # of tasks
CALM = timedelta(hours=24)  # without a failed run, until an alert about a function closes


def judge_failures(using: str, now: datetime) -> bool:
    """Open alerts for runs that ended badly since the last time. Return whether more are left."""
    pks = unjudged(using, BATCH)
    isolating(lambda: _judge(using, pks, now), lambda error: _judge_each(using, pks, now))
    return len(pks) == BATCH


def _judge_each(using: str, pks: Sequence[int], now: datetime) -> None:
    """Judge runs that could not be judged together, and leave out those that cannot be read."""
    for pk in sorted(pks, reverse=True):
        isolating(partial(_judge, using, [pk], now), partial(_leave_out, using, pk))


def _leave_out(using: str, pk: int, error: Exception) -> None:
    logger.error("Could not check run %s for problems, so it opens no alert", pk, exc_info=error)
    TroubledRun.objects.using(using).filter(run_id=pk).update(is_judged=True)


def _judge(using: str, pks: Sequence[int], now: datetime) -> None:
    """Open the alerts for these runs, and note that they were judged."""
    runs = list(
        Run.objects.using(using)
        .filter(pk__in=pks)
        .defer("payload", "result", "error")
        .order_by("-pk")
    )
    with transaction.atomic(using=using):
        open_alerts(using, problems_of(using, runs, now), now)
        TroubledRun.objects.using(using).filter(run_id__in=pks).update(is_judged=True)


def problems_of(using: str, runs: Sequence[Run], now: datetime) -> Iterator[Problem]:
    """Yield the problems that runs which ended badly show, if they still last.

    Args:
        runs: the newest run comes first.
    """
    keys = [run.task_id for run in runs if run.task_id is not None]
    tasks = Task.objects.using(using).only(*JUDGED_COLUMNS).in_bulk(keys)
    failed, missed, called = by_subject(runs, tasks)
    missed = lasting(missed)
    known = note_evidence(using, failed, missed, called)
    yield from judge_missed(using, without(missed, known, Kind.MISSED, of_task), now)
    for task in tasks.values():
        # Once it can be planned and called again, that alert closes, although it may still fail.
        if task.state != TaskState.BROKEN and not task.target_error:
            known.discard(open_key(Kind.BROKEN, of_task(task.pk)))
    for kind in STREAK_KINDS:
        failed = without(failed, known, kind, of_task)
        called = without(called, known, kind, of_call)
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
    latest = latest_ended(using, {pk: max(limit, LATEST) for pk, limit in limits.items()})
    for pk, limit in limits.items():
        runs, newest = latest.get(pk, []), failed[pk][0]
        is_missing = bool(tasks[pk].target_error and _streak(runs))
        if found := _failures(newest, runs, limit, now, is_missing=is_missing):
            yield _failing(newest, found, task=pk, is_missing=is_missing)


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
            yield _failing(called[path][0], found)


def _streak(latest: Sequence[Ended]) -> list[Ended]:
    """Return the failed runs since the last success, the newest first."""
    return list(takewhile(lambda run: not run.is_success, latest))


class _Failures(NamedTuple):
    """The failed runs for which an alert opens, the newest first, and what it says of them."""

    words: str
    runs: Sequence[Ended]
    is_intermittent: bool = False


def _failures(
    run: Run, latest: Sequence[Ended], limit: int, now: datetime, *, is_missing: bool = False
) -> _Failures | None:
    """Return the failures for which an alert opens; None if none opens.

    Args:
        run: the newest of the runs that failed.
        latest: the latest runs, the newest first.
    """
    streak = _streak(latest)
    if not is_missing and flaps(latest, now, limit):
        return _Failures(in_words(latest), failures_in(latest), is_intermittent=True)
    if is_missing or is_reason(streak, limit):
        return _Failures(_words(run, len(streak)), streak)
    return None


def _failing(
    run: Run,
    found: _Failures,
    *,
    task: int | None = None,
    is_missing: bool = False,
) -> Problem:
    kind = Kind.LOST if run.state == RunState.LOST else Kind.FAILING
    since = found.runs[-1].finished_at
    cause = _cause_of(run)
    return Problem(
        kind=Kind.BROKEN if is_missing else kind,
        subject=of_call(run.target_path) if task is None else of_task(task),
        label=run.label,
        since=since or run.finished_at or run.planned_at,
        why=with_cause(found.words, cause),
        cause=cause,
        fix=_fix(run, found, task, is_missing=is_missing),
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


def _fix(run: Run, found: _Failures, task: int | None, *, is_missing: bool) -> str:
    if is_missing:
        return gettext("Restore the function, or set another one (target_path).")
    if found.is_intermittent:
        return words_if_it_flaps(task, run.target_path)
    return words_to_retry(run.pk, will_recur=task is not None and len(found.runs) > 1)


def over_of_tasks(using: str, alerts: Collection[Alert], now: datetime) -> Iterator[Closing]:
    """Yield the alerts about runs of tasks after which a run has succeeded, if that lasts."""
    pks = [alert.task_id for alert in alerts if alert.task_id is not None]
    tasks = Task.objects.using(using).only("label", "alert_after").in_bulk(pks)
    newest = latest_ended(using, dict.fromkeys(tasks, 1))
    recorded = rows_of(using, alerts)
    succeeded = {pk for pk, runs in newest.items() if runs[0].is_success}
    # What still fails is open in any case, so its history is not read in each round.
    recovered = {alert.task_id or 0 for alert in alerts if alert.kind != Kind.MISSED} & succeeded
    history = newest | latest_ended(using, dict.fromkeys(recovered, LATEST))
    history |= _further_back(using, history, recovered, now)
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


def _further_back(
    using: str, history: Mapping[int, Sequence[Ended]], tasks: Collection[int], now: datetime
) -> dict[int, list[Ended]]:
    """Return the runs of tasks that run very often, with those up to the last failure."""
    frequent = [pk for pk in tasks if shows_too_little(history[pk], now)]
    if not frequent:
        return {}
    failed = TroubledRun.objects.filter(task_id=OuterRef("pk"), state__in=FAILED_STATES)
    last = Subquery(failed.order_by("-run_id").values("run_id")[:1])
    stored = Task.objects.using(using).filter(pk__in=frequent).annotate(last_failed=last)
    up_to = dict(stored.exclude(last_failed=None).values_list("pk", "last_failed"))
    before = latest_ended(using, dict.fromkeys(up_to, WINDOW), up_to=up_to)
    # What is left out in between has succeeded.
    return {pk: [*history[pk][: in_a_row(history[pk])], *runs] for pk, runs in before.items()}


def _flaps_still(alert: Alert, latest: Sequence[Ended], now: datetime, limit: int) -> bool:
    if alert.kind == Kind.MISSED or not limit:
        return False
    # The evidence of an alert about a function is the run that failed last.
    return flaps(latest, now, limit, opened_by=alert.run_id)


def _words_of_success(alert: Alert, latest: Sequence[Ended]) -> str:
    """Return why an alert is over. After one that flapped, more than one run has succeeded."""
    number = in_a_row(latest) if alert.kind != Kind.MISSED else 1
    words = ngettext("The latest run succeeded.", "The last %d runs succeeded.", number)
    return words % number if "%d" in words else words


def _is_later(run: Ended, alert: Alert, recorded: Mapping[int, Run]) -> bool:
    """Return whether a run came after those that were the reason for an alert."""
    if alert.kind != Kind.MISSED:
        return run.pk > alert.evidence
    return is_after_missed(run, alert, recorded)


def over_of_calls(using: str, alerts: Collection[Alert], now: datetime) -> Iterator[Closing]:
    """Yield the alerts about functions that have succeeded since, or are not failing any more."""
    paths = {alert.subject.removeprefix("call:"): alert for alert in alerts}
    latest = latest_of_calls(using, list(paths))
    last = Run.objects.using(using).only("finished_at")
    ended = last.in_bulk([alert.evidence for alert in alerts])
    for path, alert in paths.items():
        runs = latest.get(path, [])
        failed = ended.get(alert.evidence)
        is_success = bool(runs) and runs[0].is_success and runs[0].pk > alert.evidence
        if is_success and not _flaps_still(alert, runs, now, _threshold(None)):
            yield alert, _words_of_success(alert, runs)
        elif failed is None or (failed.finished_at and now - failed.finished_at >= CALM):
            yield alert, gettext("No run has failed in the last 24 hours.")
