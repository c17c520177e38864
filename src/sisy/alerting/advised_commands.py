"""The commands that alerts, pages and other commands advise: to cancel, retry or backfill.

A first cancel request cancels a queued run, and asks a running one to stop. If that one ignores
it, the next one must be a force cancel.
"""

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext

from sisy.models import Run, RunState
from sisy.runtime.durations import minute_after

CANCELLING = ("state", "cancel_requested_at", "cancel_force")
"""The columns of a run on which the advice depends."""


def cancel_command(run: Run) -> str:
    """Return the command that cancels a run; empty if there is nothing more to request."""
    if run.state == RunState.QUEUED or run.cancel_requested_at is None:
        return f"sisy_runs cancel {run.pk}"
    return "" if run.cancel_force else f"sisy_runs cancel {run.pk} --force"


def words_if_it_hangs(run: Run) -> str:
    """Return what to do about a running run that may hang.

    An alert keeps the words of its opening, so they also say what to do after that.
    """
    command = cancel_command(run)
    if not command:
        return gettext(
            "It was already force cancelled. If it is still running, restart its worker."
        )
    if run.cancel_requested_at is not None:
        return (
            gettext("It was asked to stop. If it hangs, force cancel it with 'manage.py %s'.")
            % command
        )
    return (
        gettext(
            "If it hangs, cancel it with 'manage.py %s'. If it is still running after that, add "
            "--force."
        )
        % command
    )


def words_to_retry(run: int, *, will_recur: bool) -> str:
    """Return what to do about a failed run.

    Args:
        will_recur: whether it is the last of several of a task, so that another run will follow.
    """
    command = f"manage.py sisy_runs retry {run}"
    if will_recur:
        words = gettext("Fix the cause, and then retry with '%s', or wait for the next run.")
    else:
        words = gettext("Fix the cause, and then retry with '%s'.")
    return words % command


def to_see_all(*, are_over: bool) -> str:
    """Return how to see the alerts that a message does not list."""
    command = "sisy_alerts list --all" if are_over else "sisy_alerts list"
    return gettext("To see all of them: manage.py %s") % command


def words_if_it_flaps(task: int | None, path: str) -> str:
    """Return what to do about what fails intermittently.

    Args:
        task: the key of a task; None for a function that was called without a task.
    """
    runs = f"--task {task}" if task is not None else f"--function {path}"
    words = gettext(
        "Find what its failed runs have in common: 'manage.py sisy_runs list %s --state failed'. "
        "A single successful retry does not close this alert."
    )
    return words % runs


def backfill_command(oldest: Run, newest: Run) -> str:
    """Return the command that runs what two rows of a task, and those between them, missed.

    Moments are in the site's time zone, with their offset from UTC.
    """
    first = oldest.due_at or oldest.planned_at
    last = newest.due_until or newest.due_at or newest.planned_at
    # The end of the range is exclusive, and no two occurrences are less than a second apart.
    end = last + timedelta(seconds=1)
    return f"sisy_tasks backfill {newest.task_id} {_argument(first)} {_argument(end)}"


def missed_command(since: datetime, until: datetime) -> str:
    """Return the command that lists the tasks that missed occurrences of a range.

    Args:
        until: the last occurrence, which the range includes.
    """
    return f"sisy_tasks missed {_to_the_minute(since)} {_to_the_minute(minute_after(until))}"


def _to_the_minute(moment: datetime) -> str:
    local = timezone.localtime(moment, timezone.get_default_timezone())
    # Without an offset, a time that occurs twice means the first one.
    return local.isoformat(timespec="minutes") if local.fold else f"{local:%Y-%m-%dT%H:%M}"


def _argument(moment: datetime) -> str:
    zone = timezone.get_default_timezone()
    return timezone.localtime(moment, zone).isoformat(timespec="seconds")
