"""The verbs of ``sisy_tasks`` that show tasks."""

from argparse import ArgumentParser
from collections.abc import Callable
from itertools import islice
from typing import Any

from django.core.management.base import CommandError
from django.db import router
from django.db.models import F
from django.utils import timezone

from sisy.management import lookup, moments, task_text, unknown_names
from sisy.management.arguments import one_of
from sisy.management.run_filters import refuse_empty
from sisy.management.run_text import facts_of
from sisy.management.table import Lines
from sisy.management.verbs import VerbCommand, add_number
from sisy.models import Run, Task, TaskState
from sisy.planning.timing import occurrences
from sisy.records.task_fields import SHOWN_FIELDS
from sisy.reports import formatting
from sisy.reports.explain import why, why_run, why_task
from sisy.reports.formatting import zone_named
from sisy.reports.last_started import last_started
from sisy.reports.ledger import by_occurrence
from sisy.reports.tasks import NEEDS_ATTENTION, TaskFilter, matching

HISTORY_COLUMNS = ("id", "due", "state", "attempt", "late", "took", "reason")


STATES = [*TaskState.values, NEEDS_ATTENTION]

AddVerb = Callable[[str, str], ArgumentParser]


def naming_task(verb: AddVerb) -> AddVerb:
    """Return a function that adds a verb whose first argument is a task."""

    def of_task(name: str, words: str) -> ArgumentParser:
        added = verb(name, words)
        added.add_argument("task", metavar="TASK", help="key, name or label of the task")
        return added

    return of_task


class TaskVerbs(VerbCommand):
    """The verbs ``list``, ``show``, ``next``, ``history`` and ``why``."""

    def add_verbs(self, verb: AddVerb) -> None:
        of_task = naming_task(verb)
        listing = verb("list", "list tasks, next due first")
        listing.add_argument(
            "--state",
            type=one_of(STATES),
            choices=STATES,
            help=f"only tasks in this state; {NEEDS_ATTENTION}: tasks with a problem",
        )
        listing.add_argument("--queue", metavar="QUEUE", help="only tasks in this queue")
        listing.add_argument(
            "--text", metavar="TEXT", help="only tasks with this in their label or function"
        )
        of_task("show", "show all fields of a task")
        add_number(of_task("next", "show a task's upcoming occurrences"), "occurrences", 10)
        add_number(of_task("history", "show a task's latest runs"), "runs", 20)
        asked = verb("why", "explain why something ran, is queued or did not run")
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

    def do_list(
        self, *, state: str | None, queue: str | None, text: str | None, **options: Any
    ) -> None:
        refuse_empty({"queue": queue, "text": text}, ("queue", "text"))
        filters = TaskFilter(state=state or "", queue=queue or "", search=text or "")
        by_next_run = F("next_run").asc(nulls_last=True)
        found = list(matching(self.using, filters).order_by(by_next_run, "label", "pk"))
        last = last_started(self.using, [task.pk for task in found])
        unknown = (
            "" if found or not queue else unknown_names.in_queues([queue], self.using, self.now)
        )
        if unknown:
            raise CommandError(unknown.lstrip())
        if self.as_json:
            self.say_json([task_text.facts_of(task, last[task.pk]) for task in found])
            return
        self.answer(
            [task_text.line_of(task, last[task.pk]) for task in found],
            otherwise=self._nothing_listed(filters),
            spare=("last_run", "queue"),
        )
        if found:
            self.say("To see the details of a task: manage.py sisy_tasks show ID")

    def _nothing_listed(self, filters: TaskFilter) -> str:
        if filters.is_anything:
            return "No tasks yet. To create those that your code declares: manage.py sisy_sync"
        if filters == TaskFilter(queue=filters.queue):
            return f"No task is in the queue {filters.queue!r}."
        if filters == TaskFilter(state=filters.state) and filters.state != NEEDS_ATTENTION:
            return f"No tasks are {filters.state}."
        return "No tasks match."

    def do_show(self, task: Task, **options: Any) -> None:
        shown = {name: getattr(task, name) for name in ("id", "name", *_columns())}
        # The scheduler's column is the last moment that was planned, also of a run to come.
        shown["last_due"] = shown.pop("last_run")
        [last] = last_started(self.using, [task.pk]).values()
        shown |= task_text.facts_of_last(last) if self.as_json else task_text.line_of_last(last)
        if not self.as_json:
            # Runs that failed together are not all retried together.
            shown["retry_delay"] = f"up to {formatting.span(task.retry_delay)}, at random"
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
        at = moments.past(when, task.timezone, self.now, alternative="a run, such as '#7'")
        sentence = why(task, at, self.using, self.now)
        self._explain(sentence, task=task.pk, moment=at)

    def _explain(self, sentence: str, **about: Any) -> None:
        if self.as_json:
            self.say_json(about | {"answer": sentence})
        else:
            self.explain(sentence)


def _columns() -> list[str]:
    return [field.name for field in Task._meta.concrete_fields if field.name in SHOWN_FIELDS]


def _line_of_run(run: Run) -> dict[str, Any]:
    facts = facts_of(run)
    return {name: facts[name] for name in HISTORY_COLUMNS}
