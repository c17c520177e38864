"""``manage.py sisy_simulate``: what would run when."""

import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandError, CommandParser
from django.db import router
from django.utils import timezone
from django.utils.translation import ngettext

from sisy.management import choosing
from sisy.management.numbers import MAX_COUNT, whole
from sisy.management.progress import Progress
from sisy.management.sheets import write_csv
from sisy.management.telling import AnsweringCommand
from sisy.models import Task, TaskState
from sisy.queries.durations import recent_durations
from sisy.queries.rehearsal import (
    Occurrence,
    Rehearsal,
    occurrences_of,
)

SHOWN = 50
STEP = 1_000  # occurrences between two looks at the progress


class Command(AnsweringCommand):
    help = (
        "Shows what would run from one moment to before another: each occurrence, the busiest "
        "minutes, and the tasks whose runs would meet, by how long they usually take. Tasks are "
        "taken as they are now; those that are paused, broken or retired are left out. Nothing is "
        "planned or written. A moment without a zone is meant in the project's."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("start", type=choosing.moment, metavar="FROM", help="the first moment")
        parser.add_argument(
            "end", type=choosing.moment, metavar="TO", help="the moment before which it ends"
        )
        parser.add_argument(
            "--task", action="append", metavar="TASK", help="only this task; may be given again"
        )
        parser.add_argument("--csv", action="store_true", help="write all occurrences as CSV")
        parser.add_argument(
            "--by-minute", action="store_true", help="say how many begin in each minute instead"
        )
        parser.add_argument(
            "--show",
            type=whole(0, MAX_COUNT),
            default=SHOWN,
            metavar="N",
            help="how many occurrences the table shows",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(Task)
        zone = timezone.get_default_timezone_name()
        start, end = (choosing.in_zone(options[name], zone) for name in ("start", "end"))
        if end <= start:
            raise CommandError(f"TO must lie after FROM, but {end} does not lie after {start}.")
        tasks = self._tasks(options["task"], using)
        rehearsal = Rehearsal(takes=recent_durations(using, "task_id"))
        with Progress(
            sys.stderr,
            "Looking ahead",
            (end - start).total_seconds(),
            is_quiet=options["verbosity"] < 1,
        ) as progress:
            found = self._noted(rehearsal, occurrences_of(tasks, start, end), start, progress)
            if options["csv"] and not options["by_minute"]:
                self._write_csv(found)
                return
            limit = None if self.as_json else options["show"]
            shown = [_line(one) for one in islice(found, limit)]
            for _ in found:  # what is not shown is counted
                pass
        if options["by_minute"]:
            self._write_minutes(rehearsal, as_csv=options["csv"])
        elif self.as_json:
            self.say_json({"occurrences": shown, **_summary(rehearsal)})
        else:
            self._write_tables(shown, rehearsal)

    def _tasks(self, named: list[str] | None, using: str) -> list[Task]:
        if named:
            return [choosing.task_named(name, using) for name in named]
        active = Task.objects.using(using).filter(state=TaskState.ACTIVE).exclude(schedule="")
        return list(active.order_by("pk"))

    def _noted(
        self,
        rehearsal: Rehearsal,
        found: Iterator[Occurrence],
        start: datetime,
        progress: Progress,
    ) -> Iterator[Occurrence]:
        for number, (due, task) in enumerate(found, start=1):
            rehearsal.note(due, task)
            if number % STEP == 0:
                found_so_far = ngettext("%s occurrence", "%s occurrences", number) % f"{number:,}"
                words = f"{found_so_far}, up to {due:%Y-%m-%d %H:%M}"
                progress.reach((due - start).total_seconds(), words)
            yield due, task

    def _write_minutes(self, rehearsal: Rehearsal, *, as_csv: bool) -> None:
        minutes = rehearsal.by_minute()
        if as_csv:
            lines = ((at.isoformat(), runs) for at, runs in minutes)
            write_csv(self.stdout, ("minute", "runs"), lines)
        else:
            rows = [{"minute": at, "runs": runs} for at, runs in minutes]
            self.answer(rows, otherwise="Nothing would run.")

    def _write_csv(self, found: Iterator[Occurrence]) -> None:
        names = ("due", "local", "timezone", "task", "label", "queue")
        write_csv(self.stdout, names, (_record(due, task) for due, task in found))

    def _write_tables(self, shown: list[dict[str, Any]], rehearsal: Rehearsal) -> None:
        self.answer(shown, otherwise="Nothing would run.")
        if more := rehearsal.count - len(shown):
            self.stdout.write(f"… and {more:,} more; --show or --csv shows them.")
        summary = _summary(rehearsal)
        if summary["busiest"]:
            self.stdout.write("\nThe busiest minutes:")
            self.answer(summary["busiest"])
        if summary["crowded"]:
            self.stdout.write("\nRuns that would meet, though they must not overlap:")
            self.answer(summary["crowded"])


def _record(due: datetime, task: Task) -> tuple[Any, ...]:
    local = due.astimezone(ZoneInfo(task.timezone))
    moments = (due.isoformat(), local.isoformat(), task.timezone)
    return (*moments, task.pk, task.label, task.queue)


def _line(occurrence: Occurrence) -> dict[str, Any]:
    due, task = occurrence
    local = due.astimezone(ZoneInfo(task.timezone))
    return {"due": due, "local": f"{local:%a %H:%M:%S} {task.timezone}", "task": task.label}


def _summary(rehearsal: Rehearsal) -> dict[str, Any]:
    return {
        "count": rehearsal.count,
        "busiest": [{"minute": at, "runs": runs} for at, runs in rehearsal.busiest()],
        "crowded": [
            {
                "task": one.task.label,
                "usually takes": one.takes,
                "overlap": one.task.overlap,
                "times": one.count,
                "first": one.first,
            }
            for one in rehearsal.crowded.values()
        ],
    }
