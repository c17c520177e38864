"""Runs as commands show them: in a list, with all facts, and what to do next."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.alerting.advised_commands import backfill_command, cancel_command
from sisy.alerting.capacity import Fleet
from sisy.management.table import state
from sisy.models import Run, RunState
from sisy.reports import disclosure, formatting
from sisy.reports.output import AttemptOutput, ShownProgress
from sisy.runtime.escaping import escaped_lines

TAIL = 20  # lines of output that `show` prints


def line_of(run: Run, now: datetime, *, has_delay: bool = False) -> dict[str, Any]:
    """Return the row of a run in a list for people.

    Args:
        has_delay: whether the row says how late the run started.
    """
    return {
        "id": run.pk,
        "state": state(run.state),
        "task": run.label,
        "due": when(run.moment, now),
        **({"delay": formatting.span(run.lateness)} if has_delay else {}),
        "took": took(run, now),
        "reason": _reason(run),
    }


def _reason(run: Run) -> str:
    """Return why a run ended, and how many occurrences or which attempt the row represents."""
    if run.count > 1:
        words = ngettext("%d occurrence.", "%d occurrences.", run.count) % run.count
    elif run.attempt > 1:
        words = gettext("Attempt %d.") % run.attempt
    else:
        return run.reason
    return f"{words} {run.reason}".rstrip()


def when(moment: datetime, now: datetime) -> str:
    """Return a moment in the project's time zone; the date is left out if it is today."""
    zone = timezone.get_default_timezone()
    local = timezone.localtime(moment, zone)
    is_today = local.date() == timezone.localtime(now, zone).date()
    return f"{local:%H:%M:%S}" if is_today else f"{local:%m-%d %H:%M}"


def took(run: Run, now: datetime) -> str:
    """Return how long a run took, or for how long it has been running."""
    if run.state == RunState.RUNNING and run.started_at is not None:
        return f"{formatting.span(max(now - run.started_at, now - now))} …"
    return formatting.span(run.duration)


def facts_of(run: Run) -> dict[str, Any]:
    """Return what is stored about a run, without its data."""
    return {
        "id": run.pk,
        "label": run.label,
        "state": state(run.state),
        "reason": run.reason,
        "task": run.task_id,
        "function": run.target_path,
        "due": run.moment,
        "attempt": run.attempt,
        "queue": run.queue,
        "origin": run.origin,
        "worker": run.worker_name,
        "started": run.started_at,
        "finished": run.finished_at,
        "late": run.lateness,
        "took": run.duration,
    }


def data_of(run: Run) -> dict[str, Any]:
    """Return the data of a run, with secrets masked in its input and result."""
    return {
        "error": error_of(run),
        "error_class": run.error_class,
        "input": disclosure.masked(run.payload),
        "result": disclosure.masked(run.result),
    }


def error_of(run: Run) -> str:
    """Return the traceback of a run."""
    return escaped_lines(run.error).rstrip("\n")


def next_step(run: Run, fleet: Fleet) -> str:
    """Return what people can do about a run, as a sentence with a command."""
    if run.state == RunState.QUEUED:
        if run.queue in fleet.paused:
            return f"To resume the queue: manage.py sisy_queues resume {run.queue}"
        if not run.engine and not fleet.serving(run.queue):
            return f"To start a worker: manage.py sisy_worker --queues {run.queue}"
        return f"To cancel it: manage.py {cancel_command(run)}"
    if run.state == RunState.RUNNING:
        # A command to copy ends its line without a full stop.
        follow = f"To follow its output: manage.py sisy_runs logs {run.pk} --follow"
        command = cancel_command(run)
        return f"{follow}\nTo stop it: manage.py {command}" if command else follow
    if run.state == RunState.SUCCEEDED:
        return f"To run it again: manage.py sisy_runs retry {run.pk}"
    if run.count > 1:
        if run.task is None:  # several occurrences of a deleted task can no longer run
            return f"To see its other runs: manage.py sisy_runs list --task {run.task_id}"
        return f"To see what was missed: manage.py {backfill_command(run, run)} --dry-run"
    if run.state in (RunState.MISSED, RunState.SKIPPED, RunState.CANCELLED):
        return f"To run it now: manage.py sisy_runs retry {run.pk}"
    return f"To retry it after you have fixed the cause: manage.py sisy_runs retry {run.pk}"


def tail_of(output: AttemptOutput) -> tuple[str, int]:
    """Return the last lines of an output, and how many lines are before them."""
    lines = output.text.rstrip("\n").split("\n")
    return "\n".join(lines[-TAIL:]), max(0, len(lines) - TAIL)


def progress_in_words(progress: ShownProgress) -> str:
    """Return how far a run is, with its message."""
    return f"{progress} · {progress.message}" if progress.message else str(progress)


def json_of_output(output: AttemptOutput) -> dict[str, Any]:
    """Return the output of an attempt for JSON."""
    progress = output.progress
    return {
        "attempt": output.attempt,
        "text": output.text,
        "written": output.written,
        "left_out": output.left_out,
        "progress": None if progress is None else json_of_progress(progress),
    }


def json_of_progress(progress: ShownProgress) -> dict[str, Any]:
    """Return the progress of an attempt for JSON."""
    return {
        "done": progress.done,
        "total": progress.total,
        "message": progress.message,
        "at": progress.at,
    }
