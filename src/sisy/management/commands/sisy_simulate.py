"""``manage.py sisy_simulate``: a forecast of the occurrences in a range."""

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import CommandParser
from django.db import router
from django.utils import timezone
from django.utils.translation import ngettext

from sisy import clock
from sisy.alerting.capacity import running
from sisy.management import lookup, moments
from sisy.management.arguments import MAX_COUNT, whole
from sisy.management.output import AnsweringCommand
from sisy.management.progress import Progress
from sisy.models import Task, TaskState
from sisy.reports.durations import usual_by_task
from sisy.reports.forecast import Forecast, Occurrence, TaskForecast, occurrences_of
from sisy.reports.peaks import slots_by_queue
from sisy.reports.spreadsheet import write_csv

MAX_OCCURRENCES_SHOWN = 50
MAX_FREQUENT_SHOWN = 20
DAY = timedelta(days=1)
STEP = 1_000  # occurrences between two updates of the progress


class Command(AnsweringCommand):
    help = (
        "Forecasts the runs in a time range: the occurrences of infrequent tasks, the number of "
        "runs of frequent ones, the busiest minutes with the estimated wait for a slot, and "
        "probable overlaps. It simulates the active tasks as they are now, and changes nothing. "
        "FROM and TO are in the project's time zone, unless they include one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "start",
            nargs="?",
            default="now",
            metavar="FROM",
            help=f"the start of the range: now, {moments.FORMS} (default: %(default)s)",
        )
        parser.add_argument(
            "end",
            nargs="?",
            metavar="TO",
            help="the end of the range (exclusive; default: 24 hours after FROM); a time of "
            "day, such as 02:00, means the next 02:00 after FROM",
        )
        parser.add_argument(
            "--task", action="append", metavar="TASK", help="only this task (repeatable)"
        )
        parser.add_argument("--csv", action="store_true", help="write all occurrences as CSV")
        parser.add_argument(
            "--by-minute",
            action="store_true",
            help="show the number of runs per minute instead of each occurrence",
        )
        parser.add_argument(
            "--show",
            type=whole(0, MAX_COUNT),
            default=MAX_OCCURRENCES_SHOWN,
            metavar="N",
            help="maximum number of occurrences in the table (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(Task)
        zone = timezone.get_default_timezone_name()
        now = clock.now(using)
        if options["end"]:
            start, end = moments.future_range(options["start"], options["end"], zone, now)
        else:
            start = moments.future(options["start"], zone, now)
            end = start + DAY
        tasks = self._tasks(options["task"], using)
        takes = usual_by_task(using, [task.pk for task in tasks])
        _, workers = running(using, now)
        forecast = Forecast(takes=takes, slots=slots_by_queue(workers))
        with Progress(
            sys.stderr,
            "Simulating",
            (end - start).total_seconds(),
            is_quiet=options["verbosity"] < 1,
        ) as progress:
            found = self._noted(forecast, occurrences_of(tasks, start, end), start, progress)
            if options["csv"] and not options["by_minute"]:
                self._write_csv(found)
                return
            listed = [_line(one) for one in found if self.as_json]
        if options["by_minute"]:
            self._write_minutes(forecast, as_csv=options["csv"])
        elif self.as_json:
            self.say_json({"occurrences": listed, **_summary(forecast)})
        else:
            self._write_tables(forecast, start, end, options["show"])

    def _tasks(self, named: list[str] | None, using: str) -> list[Task]:
        if named:
            tasks = [lookup.task_named(name, using) for name in named]
            return list({task.pk: task for task in tasks}.values())
        active = Task.objects.using(using).filter(state=TaskState.ACTIVE).exclude(schedule="")
        return list(active.order_by("pk"))

    def _noted(
        self,
        forecast: Forecast,
        found: Iterator[Occurrence],
        start: datetime,
        progress: Progress,
    ) -> Iterator[Occurrence]:
        for number, (due, task) in enumerate(found, start=1):
            forecast.note(due, task)
            if number % STEP == 0:
                found_so_far = ngettext("%s occurrence", "%s occurrences", number) % f"{number:,}"
                words = f"{found_so_far}, up to {due:%Y-%m-%d %H:%M}"
                progress.reach((due - start).total_seconds(), words)
            yield due, task

    def _write_minutes(self, forecast: Forecast, *, as_csv: bool) -> None:
        minutes = forecast.by_minute()
        if as_csv:
            lines = ((at.isoformat(), runs) for at, runs in minutes)
            write_csv(self.stdout, ("minute", "runs"), lines)
        else:
            rows = [{"minute": at, "runs": runs} for at, runs in minutes]
            self.answer(rows, otherwise="Nothing is due.")

    def _write_csv(self, found: Iterator[Occurrence]) -> None:
        names = ("due", "local", "timezone", "task", "label", "queue")
        write_csv(self.stdout, names, (_record(due, task) for due, task in found))

    def _write_tables(
        self, forecast: Forecast, start: datetime, end: datetime, limit: int
    ) -> None:
        seldom, frequent = forecast.split(limit)
        # If even one task has more occurrences than are shown, its first ones are.
        listed = seldom or [one.task for one in frequent[:1]]
        shown = list(map(_line, islice(occurrences_of(listed, start, end), limit)))
        if len({task.timezone for task in listed} | {timezone.get_default_timezone_name()}) == 1:
            for line in shown:
                del line["local"]
        if shown or not forecast.count:
            self.answer(shown, otherwise="Nothing is due.")
        if frequent:
            self._write_frequent(frequent)
        summary = _summary(forecast)
        if summary["busiest"]:
            self.stdout.write("\nBusiest minutes:")
            self.answer(summary["busiest"])
        if summary["overlaps"]:
            self.stdout.write("\nProbable overlaps with the previous run:")
            self.answer(summary["overlaps"])

    def _write_frequent(self, frequent: list[TaskForecast]) -> None:
        self.stdout.write("\nFrequent tasks:")
        self.answer(
            [
                {"task": one.task.label, "schedule": one.task.schedule, "runs": one.number}
                for one in frequent[:MAX_FREQUENT_SHOWN]
            ]
        )
        if (more := len(frequent) - MAX_FREQUENT_SHOWN) > 0:
            words = ngettext("… and %s more task.", "… and %s more tasks.", more)
            self.stdout.write(words % f"{more:,}")
        self.stdout.write("To list their occurrences, add --show N, --task or --csv.")


def _record(due: datetime, task: Task) -> tuple[Any, ...]:
    local = due.astimezone(ZoneInfo(task.timezone))
    moments = (due.isoformat(), local.isoformat(), task.timezone)
    return (*moments, task.pk, task.label, task.queue)


def _line(occurrence: Occurrence) -> dict[str, Any]:
    due, task = occurrence
    local = due.astimezone(ZoneInfo(task.timezone))
    return {"due": due, "local": f"{local:%a %H:%M:%S} {task.timezone}", "task": task.label}


def _summary(forecast: Forecast) -> dict[str, Any]:
    waits = forecast.longest_waits()
    return {
        "count": forecast.count,
        "busiest": [
            {"minute": at, "runs": runs, "wait": _rounded(waits.get(at))}
            for at, runs in forecast.busiest()
        ],
        "overlaps": [
            {
                "task": one.task.label,
                "typical duration": one.takes,
                "overlap": one.task.overlap,
                "times": one.count,
                "first": one.first,
            }
            for one in forecast.overlaps()
        ],
    }


def _rounded(wait: timedelta | None) -> timedelta | None:
    """Return an estimate to the second."""
    return wait and timedelta(seconds=round(wait.total_seconds()))
