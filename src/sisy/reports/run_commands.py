"""The commands that show, follow, retry or cancel a run, for people who copy them."""

from dataclasses import dataclass

from django.utils.translation import gettext

from sisy.alerting.advised_commands import cancel_command
from sisy.models import Run, RunState
from sisy.records.choices import LIVE_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCommand:
    """A command, and what it does in one or two words."""

    words: str
    text: str


def commands_of(run: Run) -> list[RunCommand]:
    """Return the commands that make sense for a run in its state."""
    found = [_command(gettext("Show"), f"sisy_runs show {run.pk}")]
    if run.state == RunState.RUNNING:
        found.append(_command(gettext("Follow"), f"sisy_runs logs {run.pk} --follow"))
    if run.state in LIVE_STATES:
        if command := cancel_command(run):
            found.append(_command(gettext("Cancel"), command))
    elif run.count == 1:
        found.append(_command(gettext("Retry"), f"sisy_runs retry {run.pk}"))
    if run.task is not None:
        found.append(_command(gettext("Task"), f"sisy_tasks history {run.task_id}"))
    return found


def _command(words: str, text: str) -> RunCommand:
    return RunCommand(words=words, text=f"python manage.py {text}")
