"""Say what became of the runs whose alerts close.

A run that was slow need not have ended: a worker that stops releases its runs. So the message says
what happened, and not only that the problem is over.
"""

from collections.abc import Sequence

from django.utils.translation import gettext

from sisy.models import Alert, Run, RunState


def after_overrun(using: str, alerts: Sequence[Alert]) -> list[str]:
    """Return why alerts about slow or stalled runs are over."""
    found = _runs_of(using, alerts)
    return [_after_overrun(found.get(alert.run_id or 0)) for alert in alerts]


def after_delay(using: str, alerts: Sequence[Alert]) -> list[str]:
    """Return why alerts about late runs are over."""
    found = _runs_of(using, alerts)
    return [_after_delay(found.get(alert.run_id or 0)) for alert in alerts]


def _runs_of(using: str, alerts: Sequence[Alert]) -> dict[int, Run]:
    """Return the runs of alerts, by key. Those that were deleted are missing."""
    keys = [alert.run_id for alert in alerts if alert.run_id is not None]
    return Run.objects.using(using).only("state", "started_at").in_bulk(keys) if keys else {}


def _after_overrun(run: Run | None) -> str:
    if run is None:
        return gettext("The run has ended.")
    if run.state == RunState.QUEUED:
        return gettext("The run did not end. It was released, and is queued again.")
    if run.state == RunState.RUNNING:
        return gettext("The run is still running, but its time limit is no longer exceeded.")
    return gettext("The run has ended: %s.") % run.get_state_display()


def _after_delay(run: Run | None) -> str:
    if run is None:
        return gettext("The run is no longer queued.")
    if run.state == RunState.QUEUED:
        return gettext("The run is still queued, but is no longer late.")
    if run.started_at is None:
        return gettext("The run did not start: %s.") % run.get_state_display()
    return gettext("The run has started.")
