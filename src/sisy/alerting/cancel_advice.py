"""Advice on cancelling a run, in the words of alerts, pages and commands.

A first request cancels a queued run, and asks a running one to stop. If that one ignores it, the
next one must be a force cancel.
"""

from django.utils.translation import gettext

from sisy.models import Run, RunState

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
