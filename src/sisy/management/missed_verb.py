"""The verb of ``sisy_tasks`` that shows what tasks missed in an outage, and backfills it."""

import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import ngettext

from sisy.alerting.advised_commands import missed_command
from sisy.management import lookup, moments
from sisy.management.task_verbs import AddVerb
from sisy.management.verbs import VerbCommand, add_yes
from sisy.reports import formatting
from sisy.reports.missed import MissedTask, MissedTasks, missed_tasks, newest_range
from sisy.runtime.durations import minute_after, range_in_zone
from sisy.runtime.escaping import escaped

MAX_TASKS_NAMED = 3
SECOND = timedelta(seconds=1)


class MissedVerb(VerbCommand):
    """The verb ``missed``."""

    def add_missed(self, verb: AddVerb) -> None:
        """Add the verb."""
        missed = verb("missed", "list the tasks that missed occurrences, and backfill them")
        missed.add_argument(
            "start",
            nargs="?",
            metavar="FROM",
            help=f"the start of the range: {moments.FORMS} (default: the newest outage)",
        )
        missed.add_argument(
            "end",
            nargs="?",
            default="now",
            metavar="TO",
            help="the end of the range (exclusive; default: %(default)s)",
        )
        missed.add_argument(
            "--task",
            action="append",
            dest="tasks",
            metavar="TASK",
            help="only this task (repeatable)",
        )
        missed.add_argument(
            "--backfill",
            action="store_true",
            help="backfill the missed occurrences of tasks that are not due again within an hour, "
            "or of the tasks named with --task",
        )
        add_yes(missed)

    def do_missed(
        self,
        *,
        start: str | None,
        end: str,
        tasks: list[str] | None,
        backfill: bool,
        yes: bool,
        **options: Any,
    ) -> None:
        keys = [lookup.task_named(name, self.using).pk for name in tasks or ()]
        span = self._range(start, end)
        found = MissedTasks(tasks=[], more=0)
        if span is not None:
            found = missed_tasks(self.using, *span, only=keys or None)
        chosen = [one for one in found.tasks if one.moments and self._is_chosen(one, keys)]
        if backfill:
            self._backfill(chosen, found, is_confirmed=yes)
        elif self.as_json:
            self.say_json([self._facts(one, chosen) for one in found.tasks])
        elif span is None or not found.tasks:
            within = " in this range" if span else ""
            self.say(f"No task with a schedule missed an occurrence{within}.")
        else:
            zone = timezone.get_default_timezone()
            self.say(f"Missed from {range_in_zone(*span, zone)}:")
            self.answer([self._row(one, chosen) for one in found.tasks], spare=("last",))
            asked = [start, end] if start else []
            self._say_next(found, chosen, asked or list(_arguments(*span)), tasks or ())

    def _range(self, start: str | None, end: str) -> tuple[datetime, datetime] | None:
        """Return the range that was asked for, or that of the newest outage; None if none."""
        if start is not None:
            return moments.past_range(start, end, timezone.get_default_timezone_name(), self.now)
        newest = newest_range(self.using)
        if newest is None:
            return None
        first, last = newest
        return first, minute_after(last)

    def _is_chosen(self, one: MissedTask, keys: Sequence[int]) -> bool:
        return one.task.pk in keys if keys else not one.is_due_soon(self.now)

    def _line(self, one: MissedTask, chosen: Sequence[MissedTask]) -> dict[str, Any]:
        return {
            "id": one.task.pk,
            "task": one.task.label,
            "first": one.moments[0] if one.moments else None,
            "last": one.moments[-1] if one.moments else None,
            "runs": len(one.moments),
            "takes": one.work,
            "due_again": one.task.next_run,
            "backfill": one in chosen,
        }

    def _row(self, one: MissedTask, chosen: Sequence[MissedTask]) -> dict[str, Any]:
        """Return the line for the table. What is done needs no time, and no backfill."""
        line = self._line(one, chosen)
        is_done = not one.moments and not one.refusal
        return line | ({"takes": None, "backfill": "done"} if is_done else {})

    def _facts(self, one: MissedTask, chosen: Sequence[MissedTask]) -> dict[str, Any]:
        return self._line(one, chosen) | {"start": one.start, "end": one.end, "error": one.refusal}

    def _say_next(
        self,
        found: MissedTasks,
        chosen: Sequence[MissedTask],
        asked: Sequence[str],
        named: Sequence[str],
    ) -> None:
        for one in found.tasks:
            if one.refusal:
                self.say(f"{one.task.label}: {one.refusal}")
        if found.more:
            self.say(_more(found.more))
        options = [word for name in named for word in ("--task", name)]
        command = f"manage.py sisy_tasks missed {shlex.join([*asked, *options])} --backfill"
        count = sum(len(one.moments) for one in chosen)
        if count:
            words = ngettext("To submit %d run", "To submit %d runs", count) % count
            self.say(f"{words}: {command}")
        if not named and any(one.moments and one not in chosen for one in found.tasks):
            self.explain(
                "Tasks that are due again within an hour are left out. To backfill them too, name "
                "each one with --task."
            )

    def _backfill(
        self, chosen: Sequence[MissedTask], found: MissedTasks, *, is_confirmed: bool
    ) -> None:
        if not chosen:
            raise CommandError(_nothing_to_submit(found))
        self.confirm(_question(chosen), is_confirmed=is_confirmed)
        submitted: dict[str, int] = {}
        refused = 0
        for one in chosen:
            try:
                submitted[str(one.task.pk)] = len(one.task.backfill(one.start, one.end))
            except ValueError as error:
                refused += 1
                self.stderr.write(escaped(f"{one.task.label}: {error}"))
        count = sum(submitted.values())
        if not count:
            raise CommandError("No runs were submitted.")
        words = ngettext("Submitted %d run.", "Submitted %d runs.", count) % count
        more = f" {_more(found.more)}" if found.more else ""
        self.say_with(
            f"{words}{more} To see them: manage.py sisy_runs list --origin backfill --since 1h",
            submitted=count,
            by_task=submitted,
            refused=refused,
            more=found.more,
        )


def _arguments(start: datetime, end: datetime) -> Sequence[str]:
    return missed_command(start, end - SECOND).split()[2:]


def _question(chosen: Sequence[MissedTask]) -> str:
    """Return what a backfill of several tasks submits."""
    count = sum(len(one.moments) for one in chosen)
    what = ngettext("This submits %d run", "This submits %d runs", count) % count
    named = [f"{one.task.label!r} ({len(one.moments):,})" for one in chosen]
    return f"{what}: {formatting.first_of(named, most=MAX_TASKS_NAMED)}."


def _nothing_to_submit(found: MissedTasks) -> str:
    refused = [f" {one.task.label}: {one.refusal}" for one in found.tasks if one.refusal]
    if any(one.moments for one in found.tasks):
        words = (
            " All of these tasks are due again within an hour. To backfill them anyway, name them "
            "with --task."
        )
        return f"No runs to submit.{words}{''.join(refused)}"
    return f"No runs to submit: no missed occurrences are left.{''.join(refused)}"


def _more(number: int) -> str:
    words = ngettext(
        "%d more task missed occurrences. To see it, use a shorter range.",
        "%d more tasks missed occurrences. To see them, use a shorter range.",
        number,
    )
    return words % number
