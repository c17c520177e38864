"""``manage.py sisy_tasks``: show and change tasks."""

from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any

from django.core.management.base import CommandError
from django.db import router
from django.db.models import F
from django.utils import timezone
from django.utils.translation import ngettext

from sisy.dashboard.actions.cancelling import told
from sisy.lifecycle.cancel import cancel_or_request
from sisy.management import arguments, lookup, task_text
from sisy.management.run_text import facts_of
from sisy.management.table import Lines
from sisy.management.verbs import VerbCommand, add_number, who
from sisy.models import Run, RunState, Task, TaskState
from sisy.planning.timing import occurrences
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.records.task_fields import SHOWN_FIELDS
from sisy.reports.explain import why, why_run, why_task
from sisy.reports.formatting import zone_named
from sisy.reports.ledger import by_occurrence
from sisy.runtime.durations import in_zone

HISTORY_COLUMNS = ("id", "due", "state", "attempt", "late", "took", "reason")


class Command(VerbCommand):
    help = (
        "Shows and changes tasks. TASK is a task's key, its name in code, or its label. FROM, "
        "TO and WHEN are in the task's time zone, unless they include one. Exits with 1 if the "
        "task or run does not exist, or if there was nothing to do."
    )
    examples = (
        "sisy_tasks list --state paused",
        "sisy_tasks why 'count products' 12:00",
        "sisy_tasks run 'count products'",
        "sisy_tasks pause 'count products' --reason 'supplier is down'",
        "sisy_tasks backfill 'count products' 2026-05-01 2026-05-05 --dry-run",
    )

    def add_verbs(self, verb_alone: Callable[[str, str], ArgumentParser]) -> None:
        def verb(name: str, words: str, *, of_task: bool = True) -> ArgumentParser:
            added = verb_alone(name, words)
            if of_task:
                added.add_argument("task", metavar="TASK", help="key, name or label of the task")
            return added

        verb("list", "list tasks, next due first", of_task=False).add_argument(
            "--state", choices=TaskState.values, help="only tasks in this state"
        )
        verb("show", "show all fields of a task")
        add_number(verb("next", "show a task's upcoming occurrences"), "occurrences", 10)
        add_number(verb("history", "show a task's latest runs"), "runs", 20)
        verb("run", "submit a run now, in addition to the schedule")
        pause = verb("pause", "pause a task: plan no further runs")
        pause.add_argument("--reason", default="", metavar="TEXT", help="the reason for the pause")
        pause.add_argument(
            "--until",
            type=lookup.moment,
            metavar="WHEN",
            help="when to resume it (default: only when you resume it)",
        )
        verb(
            "resume",
            "resume a paused or broken task; occurrences missed during the pause do not run",
        )
        cancel = verb("cancel", "cancel a task's queued runs and ask running ones to stop")
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
        retry = verb("retry", "submit a new run that repeats a finished one", of_task=False)
        retry.add_argument(
            "run",
            type=lookup.run_argument,
            metavar="RUN",
            help="key of a finished run",
        )
        backfill = verb(
            "backfill",
            "run the occurrences in a past time range, except those that have succeeded or are "
            "queued or running",
        )
        backfill.add_argument(
            "start", type=lookup.moment, metavar="FROM", help="the start of the range"
        )
        backfill.add_argument(
            "end", type=lookup.moment, metavar="TO", help="the end of the range (exclusive)"
        )
        backfill.add_argument(
            "--again",
            action="store_true",
            help="also run occurrences that have succeeded or are queued or running",
        )
        backfill.add_argument("--dry-run", action="store_true", help="only list the occurrences")
        asked = verb("why", "explain why something ran, is queued or did not run", of_task=False)
        asked.add_argument("subject", metavar="TASK", help="a task, or a run, such as '#7'")
        asked.add_argument(
            "when",
            nargs="?",
            metavar="WHEN",
            help="a time or a run of the task, as Sisy prints them, such as '2026-05-05 12:00' "
            "or '#7'",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if "task" in options:
            options["task"] = lookup.task_named(options["task"], router.db_for_write(Task))
        super().handle(*args, **options)

    def do_list(self, *, state: str | None, **options: Any) -> None:
        tasks = Task.objects.using(self.using).order_by(
            F("next_run").asc(nulls_last=True), "label", "pk"
        )
        found = list(tasks.filter(state=state) if state else tasks)
        if self.as_json:
            self.say_json([task_text.facts_of(task) for task in found])
            return
        nothing = "No tasks yet. To create those that your code declares: manage.py sisy_sync"
        self.answer(
            [task_text.line_of(task) for task in found],
            otherwise=f"No tasks are {state}." if state else nothing,
            spare=("last_run", "queue"),
        )
        if found:
            self.say("To see the details of a task: manage.py sisy_tasks show ID")

    def do_show(self, task: Task, **options: Any) -> None:
        columns = [
            field.name for field in Task._meta.concrete_fields if field.name in SHOWN_FIELDS
        ]
        shown = {name: getattr(task, name) for name in ("id", "name", *columns)}
        shown["note"] = Lines(task.note.strip("\n"))
        shown |= {"counts": task.counts(), "overrides": [one.field for one in task.overrides()]}
        self.describe(shown)
        if not self.as_json:
            self.say(f"To see its runs: manage.py sisy_tasks history {task.pk}")
            self.say(f"To see why it ran or did not run: manage.py sisy_tasks why {task.pk}")

    def do_next(self, task: Task, *, number: int, **options: Any) -> None:
        due = islice(occurrences(task, self.now), number)
        rows = [{"due": each, "in": each - self.now} for each in due]
        is_active = task.state == TaskState.ACTIVE
        why = "" if is_active else f": the task is {task.get_state_display()}"
        self.answer(rows, otherwise=f"No upcoming occurrences{why}.")

    def do_history(self, task: Task, *, number: int, **options: Any) -> None:
        of_task = Run.objects.using(self.using).filter(task=task).order_by("-pk")
        runs = by_occurrence(of_task.select_related("process")[:number])
        if self.as_json:
            self.say_json([facts_of(run) | {"error": run.error} for run in runs])
        else:
            self.answer(
                [_line_of_run(run) for run in runs],
                otherwise="This task has no runs yet.",
                spare=("attempt",),
            )
            if runs:
                self.say(f"To see the details of a run: manage.py sisy_runs show {runs[0].pk}")

    def do_run(self, task: Task, **options: Any) -> None:
        try:
            self._say_of_run(task.run_now(), "is queued.")
        except ValueError as error:
            raise CommandError(str(error)) from error

    def do_retry(self, *, run: int, **options: Any) -> None:
        found = lookup.run_with_key(run, self.using)
        try:
            self._say_of_run(found.retry(), f"is queued as a retry of run {run}.")
        except ValueError as error:
            raise CommandError(str(error)) from error

    def do_pause(self, task: Task, *, reason: str, until: datetime | None, **options: Any) -> None:
        end = lookup.in_zone(until, task.timezone) if until is not None else None
        try:
            with changed_by(ChangedBy.COMMAND, who("")):
                is_paused = task.pause(reason, end)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not is_paused:
            raise CommandError(f"Cannot pause {task}: it is {task.get_state_display()}.")
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
        due = f" It is due next at {in_zone(task.next_run, zone)}." if task.next_run else ""
        self.say_with(f"Resumed {task}.{due}", state=task.state, next_run=task.next_run)

    def do_cancel(self, task: Task, *, reason: str, force: bool, **options: Any) -> None:
        runs = Run.objects.using(self.using)
        of_task = runs.filter(task=task.pk)
        cancelled, asked = map(len, cancel_or_request(of_task, reason, self.now, by_force=force))
        going = runs.live_of([task.pk]).filter(state=RunState.RUNNING)
        stopping = going.exclude(cancel_requested_at=None).count()
        words = told(cancelled, asked, max(0, stopping - asked), by_force=force)
        if not cancelled and not asked:
            raise CommandError(words)
        self.say_with(words, cancelled=cancelled, asked=asked, stopping=stopping)

    def do_backfill(
        self, task: Task, *, start: Any, end: Any, again: bool, dry_run: bool, **options: Any
    ) -> None:
        start, end = lookup.past_range(start, end, task.timezone, self.now)
        try:
            if dry_run:
                due = task.to_backfill(start, end, again=again)
                self.answer([{"due": each} for each in due], otherwise="Nothing to backfill.")
                if due and not self.as_json:
                    self.say(f"To submit {_them(len(due))}, repeat the command without --dry-run.")
                return
            count = len(task.backfill(start, end, again=again))
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not count:
            raise CommandError("Nothing to backfill.")
        more = f" To see them: manage.py sisy_runs list --task {task.pk} --origin backfill"
        self.say_with(f"Submitted {_runs(count)} of {task}.{more}", submitted=count)

    def do_why(self, *, subject: str, when: str | None, **options: Any) -> None:
        if (run := lookup.run_asked_about(subject, when, self.using)) is not None:
            name = run.task.timezone if run.task else timezone.get_default_timezone_name()
            sentence = why_run(run, zone_named(name), self.now)
            self._explain(sentence, task=run.task_id, run=run.pk)
            return
        task = lookup.task_named(subject, self.using)
        if when is None:
            sentence = why_task(task, self.using, self.now)
            self._explain(sentence, task=task.pk)
            return
        asked = arguments.moment(when, zone_named(task.timezone), self.now)
        at = lookup.in_zone(asked, task.timezone)
        sentence = why(task, at, self.using, self.now)
        self._explain(sentence, task=task.pk, moment=at)

    def _explain(self, sentence: str, **about: Any) -> None:
        if self.as_json:
            self.say_json(about | {"answer": sentence})
        else:
            self.explain(sentence)

    def _say_of_run(self, run: Run, what: str) -> None:
        self.say_with(
            f"Run {run.pk} {what} To follow it: manage.py sisy_runs show {run.pk} --follow",
            run=run.pk,
            state=run.state,
        )


def _runs(count: int) -> str:
    return ngettext("%d run", "%d runs", count) % count


def _them(count: int) -> str:
    return ngettext("it", "them", count)


def _line_of_run(run: Run) -> dict[str, Any]:
    facts = facts_of(run)
    return {name: facts[name] for name in HISTORY_COLUMNS}
