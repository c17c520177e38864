"""The verb of ``sisy_tasks`` that runs occurrences of the past."""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import ngettext

from sisy.management import moments
from sisy.management.table import state
from sisy.management.task_verbs import AddVerb, naming_task
from sisy.management.verbs import VerbCommand, add_yes
from sisy.models import Task
from sisy.reports.backfill_cost import cost_of, in_words
from sisy.reports.backfill_reasons import Reason, by_reason, nothing_to_backfill, reasons_of


class BackfillVerb(VerbCommand):
    """The verb ``backfill``."""

    def add_backfill(self, verb: AddVerb) -> None:
        """Add the verb."""
        backfill: ArgumentParser = naming_task(verb)(
            "backfill",
            "run the occurrences in a past time range, except those that have succeeded, are "
            "queued or running, or are not planned yet",
        )
        backfill.add_argument(
            "start", metavar="FROM", help=f"the start of the range: {moments.FORMS}"
        )
        backfill.add_argument(
            "end", metavar="TO", help="the end of the range (exclusive), such as now"
        )
        backfill.add_argument(
            "--again",
            action="store_true",
            help="also run occurrences that have succeeded, are queued or running, or are not "
            "planned yet",
        )
        backfill.add_argument(
            "--dry-run", action="store_true", help="only list the occurrences, and why each runs"
        )
        add_yes(backfill)

    def do_backfill(
        self,
        task: Task,
        *,
        start: Any,
        end: Any,
        again: bool,
        dry_run: bool,
        yes: bool,
        **options: Any,
    ) -> None:
        start, end = moments.past_range(start, end, task.timezone, self.now)
        try:
            if dry_run:
                self._list_occurrences(task, start, end, again=again)
                return
            found = reasons_of(task, task.to_backfill(start, end, again=again), self.using)
            if len(found) > 1:
                self.confirm(self._what_it_takes(task, found), is_confirmed=yes)
            count = len(task.backfill(start, end, again=again))
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not count:
            raise CommandError(_nothing_to_backfill(task, start, end))
        more = f" To see them: manage.py sisy_runs list --task {task.pk} --origin backfill"
        self.say_with(f"Submitted {_runs(count)} of {task}.{more}", submitted=count)

    def _list_occurrences(
        self, task: Task, start: datetime, end: datetime, *, again: bool
    ) -> None:
        """List what a backfill would run, and why. Say what that takes."""
        found = reasons_of(task, task.to_backfill(start, end, again=again), self.using)
        nothing = "" if found else _nothing_to_backfill(task, start, end)
        self.answer([_line_of(each) for each in found], otherwise=nothing)
        if found and not self.as_json:
            self.explain(self._what_it_takes(task, found))
            self.say(f"To submit {_them(len(found))}, repeat the command without --dry-run.")

    def _what_it_takes(self, task: Task, found: list[Reason]) -> str:
        """Return what a backfill submits, where it runs, and how long it takes."""
        count = len(found)
        submits = ngettext(
            "This submits %(count)d run of %(task)s to the queue %(queue)s.",
            "This submits %(count)d runs of %(task)s to the queue %(queue)s.",
            count,
        ) % {"count": count, "task": task, "queue": task.queue}
        cost = cost_of(self.using, task, count, self.now)
        reasons = by_reason(found)
        return " ".join([submits, f"{reasons[:1].upper()}{reasons[1:]}.", *in_words(cost)])


def _line_of(reason: Reason) -> dict[str, Any]:
    return {"due": reason.due, "why": state(reason.state, reason.words), "run": reason.run}


def _runs(count: int) -> str:
    return ngettext("%d run", "%d runs", count) % count


def _them(count: int) -> str:
    return ngettext("it", "them", count)


def _nothing_to_backfill(task: Task, start: datetime, end: datetime) -> str:
    if not (count := len(task.to_backfill(start, end, again=True))):
        return "Nothing to backfill: the task has no occurrence in this range."
    return nothing_to_backfill(count)
