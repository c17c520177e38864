"""Say how the latest runs of failing tasks ended, so that a task that flaps is seen to flap.

The text of a recorded alert is that of its opening: "The latest run failed". Since then, the task
may have failed a hundred times, or may have recovered and failed again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby, takewhile
from operator import attrgetter

from django.utils.translation import ngettext

from sisy.reports.alerts.alert import Alert, Kind, Severity
from sisy.store.judging import Ended, latest_ended

LATEST = 40  # finished runs of a task that are looked at
FLAPPING = 3  # series of failed runs among these, with successes between them

KINDS = (Kind.FAILING, Kind.FAILED)


def with_latest_runs(using: str, alerts: Iterable[Alert]) -> list[Alert]:
    """Return the alerts, those about failing tasks with what their latest runs say."""
    listed = list(alerts)
    tasks = {alert.task for alert in listed if alert.kind in KINDS and alert.task is not None}
    ended = latest_ended(using, dict.fromkeys(tasks, LATEST))
    return [
        _seen_again(alert, ended.get(alert.task or 0, ())) if alert.kind in KINDS else alert
        for alert in listed
    ]


def _seen_again(alert: Alert, latest: Sequence[Ended]) -> Alert:
    """Return the alert with what the latest runs of its task say.

    Args:
        latest: the newest run comes first.
    """
    failed = [run for run in latest if not run.is_success]
    if not failed:
        return alert
    series = sum(not is_success for is_success, _ in groupby(latest, attrgetter("is_success")))
    if series >= FLAPPING:
        words = ngettext(
            "It fails and recovers: %(failed)d of the latest run failed",
            "It fails and recovers: %(failed)d of the latest %(all)d runs failed",
            len(latest),
        )
        named = {"failed": len(failed), "all": len(latest)}
        why = _with_cause(words % named, alert)
        # The same severity while it works and while it fails: its row keeps its place.
        return replace(
            alert, why=why, run=failed[0].pk, severity=Severity.WARNING, is_flapping=True
        )
    if alert.kind == Kind.FAILING:
        streak = len(list(takewhile(lambda run: not run.is_success, latest)))
        words = ngettext("The latest run failed", "The last %d runs failed", streak)
        if streak == LATEST:
            words = ngettext(
                "The last run failed, or more", "The last %d runs failed, or more", streak
            )
        why = _with_cause(words % streak if "%d" in words else words, alert)
        return replace(alert, why=why, run=failed[0].pk)
    return alert


def _with_cause(words: str, alert: Alert) -> str:
    """Return the words with the cause that the text of the alert names, if it names one."""
    cause = alert.why.partition(": ")[2].partition(". ")[0].rstrip(".")
    return f"{words}: {cause}." if cause else f"{words}."
