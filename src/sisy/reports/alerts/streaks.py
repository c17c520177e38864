"""Say how the latest runs of failing tasks ended, so that flapping tasks are recognized.

The text of a recorded alert is that of its opening: "The latest run failed". Since then, the task
may have failed a hundred times, or may have recovered and failed again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import takewhile

from django.utils.translation import ngettext

from sisy.alerting.advised_commands import words_if_it_flaps, words_to_retry
from sisy.alerting.flapping import LATEST, failures_in, flaps, in_words
from sisy.alerting.problem import with_cause
from sisy.models import Alert as AlertRecord
from sisy.models import Run
from sisy.reports.alerts.alert import Alert, Kind, Severity
from sisy.store.judging import Ended, latest_ended

KINDS = (Kind.FAILING, Kind.FAILED)


def with_latest_runs(
    using: str, alerts: Iterable[Alert], now: datetime, *, in_full: bool
) -> list[Alert]:
    """Return the alerts, those about failing tasks with what their latest runs say.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    listed = list(alerts)
    tasks = {alert.task for alert in listed if alert.kind in KINDS and alert.task is not None}
    ended = latest_ended(using, dict.fromkeys(tasks, LATEST))
    reasons = _reasons(using, ended.values()) if in_full else {}
    return [
        _seen_again(alert, ended.get(alert.task or 0, ()), reasons, now)
        if alert.kind in KINDS and alert.closed is None
        else alert
        for alert in listed
    ]


def flapping(using: str, alerts: Iterable[AlertRecord], now: datetime) -> set[int]:
    """Return the keys of those recorded alerts whose tasks flap, as `with_latest_runs` says."""
    about = [one for one in alerts if one.kind == Kind.FAILING and one.task_id is not None]
    ended = latest_ended(using, {one.task_id or 0: LATEST for one in about})
    return {one.pk for one in about if flaps(ended.get(one.task_id or 0, ()), now, 1, one.run_id)}


def _reasons(using: str, ended: Iterable[Sequence[Ended]]) -> dict[int, str]:
    """Return why the newest failed run of each task failed, by the key of the run."""
    failed = (next((run.pk for run in latest if not run.is_success), None) for latest in ended)
    keys = [key for key in failed if key is not None]
    runs = Run.objects.using(using).filter(pk__in=keys) if keys else Run.objects.none()
    return dict(runs.values_list("pk", "reason"))


def _seen_again(
    alert: Alert, latest: Sequence[Ended], reasons: Mapping[int, str], now: datetime
) -> Alert:
    """Return the alert with what the latest runs of its task say.

    Args:
        latest: the newest run comes first.
        reasons: why runs failed, by their keys; empty if the reader may not see that.
    """
    failed = [run for run in latest if not run.is_success]
    if not failed:
        return alert
    newest = failed[0].pk
    opened_by = alert.record.run_id if alert.record else None
    if flaps(latest, now, 1, opened_by):
        fix = words_if_it_flaps(alert.task, alert.path)
        # What was recorded: the first failure that is counted is a later one after each run.
        since = alert.since if alert.record else failures_in(latest)[-1].finished_at
        # The same severity while it works and while it fails: its row keeps its place.
        return replace(
            _reworded(alert, in_words(latest), fix, newest, reasons),
            since=since,
            severity=Severity.WARNING,
            is_flapping=True,
        )
    if alert.kind == Kind.FAILING:
        streak = len(list(takewhile(lambda run: not run.is_success, latest)))
        words = ngettext("The latest run failed", "The last %d runs failed", streak)
        if streak == LATEST:
            words = ngettext(
                "At least the last run failed", "At least the last %d runs failed", streak
            )
        words = words % streak if "%d" in words else words
        fix = words_to_retry(newest, will_recur=streak > 1 and alert.task is not None)
        return _reworded(alert, words, fix, newest, reasons)
    return alert


def _reworded(
    alert: Alert, words: str, fix: str, newest: int, reasons: Mapping[int, str]
) -> Alert:
    """Return the alert with other words and another fix, about the newest failed run.

    The cause stays the same.
    """
    reason = reasons.get(newest, "").rstrip(".")
    return replace(
        alert,
        why=with_cause(words, alert.cause),
        full=f"{words}: {reason}." if reason else "",
        fix=fix,
        run=newest,
    )
