"""``manage.py sisy_tasks``: show and change tasks."""

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError

from sisy.dashboard.actions.cancelling import cancelled_in_words
from sisy.lifecycle.cancel import cancel_or_request
from sisy.management import lookup, moments
from sisy.management.backfill_verbs import BackfillVerb
from sisy.management.missed_verb import MissedVerb
from sisy.management.run_questions import before_cancel
from sisy.management.task_verbs import TaskVerbs, naming_task
from sisy.management.verbs import add_yes, who
from sisy.models import Run, RunState, Task, TaskState
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.reports.formatting import zone_named
from sisy.reports.walk import MAX_LOOKED_AT
from sisy.runtime.durations import in_zone


class Command(TaskVerbs, BackfillVerb, MissedVerb):
    help = (
        "Shows and changes tasks. TASK is a task's key, its name in code, or its label. FROM, "
        "TO and WHEN are in the task's time zone, unless they include one. Exits with 1 if the "
        "task or run does not exist, or if there was nothing to do, and with 2 if you did not "
        "confirm."
    )
    examples = (
        "sisy_tasks list --state attention",
        "sisy_tasks why 'count products' 12:00",
        "sisy_tasks run 'count products'",
        "sisy_tasks pause 'count products' --reason 'supplier is down'",
        "sisy_tasks backfill 'count products' 2026-05-01 2026-05-05 --dry-run",
        "sisy_tasks missed --backfill",
    )

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        super().add_verbs(verb)
        of_task = naming_task(verb)
        of_task("run", "submit a run now, in addition to the schedule")
        pause = of_task("pause", "pause a task: plan no further runs")
        pause.add_argument("--reason", default="", metavar="TEXT", help="the reason for the pause")
        pause.add_argument(
            "--until",
            metavar="WHEN",
            help=f"when to resume it: {moments.FORMS} (default: only when you resume it)",
        )
        of_task(
            "resume",
            "resume a paused or broken task; occurrences missed during the pause do not run",
        )
        cancel = of_task("cancel", "cancel a task's queued runs and ask running ones to stop")
        cancel.add_argument(
            "--reason",
            default="Cancelled with sisy_tasks.",
            metavar="TEXT",
            help="the reason to store with the runs",
        )
        cancel.add_argument(
            "--force",
            action="store_true",
            help="also kill the runs that are running in a process pool",
        )
        add_yes(cancel)
        retry = verb("retry", "submit a new run that repeats a finished one")
        # The type marks a key, so that completion does not offer labels of tasks.
        retry.add_argument("run", type=str, metavar="RUN", help="key of a finished run")
        self.add_backfill(verb)
        self.add_missed(verb)

    def do_run(self, task: Task, **options: Any) -> None:
        try:
            self._say_of_run(task.run_now(), "is queued.")
        except ValueError as error:
            raise CommandError(str(error)) from error

    def do_retry(self, *, run: str, **options: Any) -> None:
        found = lookup.run_beside_tasks(run, self.using)
        try:
            self._say_of_run(found.retry(), f"is queued as a retry of run {found.pk}.")
        except ValueError as error:
            raise CommandError(str(error)) from error

    def do_pause(self, task: Task, *, reason: str, until: str | None, **options: Any) -> None:
        end = moments.until(until, task.timezone, self.now)
        try:
            with changed_by(ChangedBy.COMMAND, who("")):
                is_paused = task.pause(reason, end)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not is_paused:
            raise CommandError(f"Cannot pause {task}: {_unpausable(task)}")
        lasts = f" until {in_zone(end, zone_named(task.timezone))}" if end is not None else ""
        self.say_with(
            f"Paused {task}{lasts}. Runs that are due and queued will still execute. To resume: "
            f"manage.py sisy_tasks resume {task.pk}",
            paused=True,
            paused_until=end,
        )

    def do_resume(self, task: Task, **options: Any) -> None:
        with changed_by(ChangedBy.COMMAND, who("")):
            is_resumed = task.resume()
        if not is_resumed:
            raise CommandError(f"Cannot resume {task}: it is {task.get_state_display()}.")
        if task.state == TaskState.BROKEN:
            raise CommandError(f"Cannot resume {task}: {task.state_reason}")
        zone = zone_named(task.timezone)
        due = f" Its next run is due at {in_zone(task.next_run, zone)}." if task.next_run else ""
        self.say_with(f"Resumed {task}.{due}", state=task.state, next_run=task.next_run)

    def do_cancel(
        self, task: Task, *, reason: str, force: bool, yes: bool, **options: Any
    ) -> None:
        runs = Run.objects.using(self.using)
        live = list(runs.live_of([task.pk]).only("label", "state")[:MAX_LOOKED_AT])
        if len(live) > 1:
            self.confirm(before_cancel(live, by_force=force), is_confirmed=yes)
        of_task = runs.filter(task=task.pk)
        cancelled, asked = map(len, cancel_or_request(of_task, reason, self.now, by_force=force))
        going = runs.live_of([task.pk]).filter(state=RunState.RUNNING)
        stopping = going.exclude(cancel_requested_at=None).count()
        words = cancelled_in_words(cancelled, asked, max(0, stopping - asked), by_force=force)
        if not cancelled and not asked:
            raise CommandError(words)
        self.say_with(words, cancelled=cancelled, asked=asked, stopping=stopping)

    def _say_of_run(self, run: Run, what: str) -> None:
        self.say_with(
            f"Run {run.pk} of {run.label} {what} To follow it: manage.py sisy_runs show {run.pk} "
            "--follow",
            run=run.pk,
            state=run.state,
        )


def _unpausable(task: Task) -> str:
    """Return why a task cannot be paused, and how to change the pause that it has."""
    if task.state != TaskState.PAUSED:
        return f"it is {task.get_state_display()}."
    end, reason = task.paused_until, task.state_reason
    lasts = f" until {in_zone(end, zone_named(task.timezone))}" if end else ""
    return (
        f"it is already paused{lasts}{f' ({reason})' if reason else ''}. To change the reason or "
        f"the end, resume it first: manage.py sisy_tasks resume {task.pk}"
    )
