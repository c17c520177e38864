"""``manage.py sisy_workers``: workers, what they run, and how to drain them."""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import ngettext

from sisy.alerting.capacity import Fleet, unserved_in_words
from sisy.exceptions import did_you_mean
from sisy.management.looks import name_of_worker, state_of_worker
from sisy.management.run_text import progress_in_words, took, when
from sisy.management.verbs import VerbCommand, add_yes
from sisy.models import Role, Run
from sisy.reports import formatting
from sisy.reports.ended import Ended, past
from sisy.reports.fleet import Member, members
from sisy.reports.hosts import versions_in_words
from sisy.reports.output import ShownProgress, progress_of
from sisy.reports.queues import queues, unserved


class Command(VerbCommand):
    help = (
        "Shows workers and what they run, and drains them. WORKER is a worker, such as 71@web-1, "
        "or a host. Exits with 1 if a worker does not exist, or if there was nothing to do, and "
        "with 2 if you did not confirm."
    )
    examples = (
        "sisy_workers list",
        "sisy_workers list --ended",
        "sisy_workers drain 71@web-1",
        "sisy_workers drain web-1 --yes",
    )

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        verb("list", "list workers, and what they run now").add_argument(
            "--ended",
            action="store_true",
            help="list what ended in the last 24 hours instead: heartbeats, workers, the last "
            "worker of each queue that has none now, and periods without a heartbeat",
        )
        drain = verb("drain", "let workers finish their current runs, and exit")
        drain.add_argument(
            "workers",
            nargs="+",
            metavar="WORKER",
            help="a worker, such as 71@web-1, or a host, for all of its workers",
        )
        add_yes(drain)

    def do_list(self, *, ended: bool, **options: Any) -> None:
        if ended:
            self._list_ended()
            return
        found = self._workers()
        progress = progress_of(self.using, [run for one in found for run in one.runs])
        if self.as_json:
            self.say_json([self._facts(one, progress) for one in found])
            return
        self.answer(
            [self._line(one) for one in found],
            otherwise="No workers are running. To start one: manage.py sisy_worker",
        )
        if not found:
            self.say("To see which ended, and why: manage.py sisy_workers list --ended")
        if len(versions := versions_in_words(found)) > 1:
            self.say(f"Several versions: {', '.join(versions)}.")
        if running := [self._line_of_run(run, progress) for one in found for run in one.runs]:
            self.stdout.write("\nRunning now:")
            self.answer(running)
            self.say(f"To see the details of a run: manage.py sisy_runs show {running[0]['run']}")
        for one in found:
            if one.process.problem:
                self.explain(f"{one.process} has a problem: {one.process.problem}")

    def _list_ended(self) -> None:
        found = past(self.using, self.now, unserved(queues(self.using, self.now)))
        if self.as_json:
            gaps = [{"since": gap.since, "until": gap.until} for gap in found.gaps]
            ended = [_facts_of_ended(one) for one in found.ended]
            self.say_json(
                {
                    "ended": ended,
                    "more": found.more,
                    "read": found.read,
                    "without_heartbeat": gaps,
                }
            )
            return
        self.answer(
            [_line_of_ended(one, self.now) for one in found.ended],
            otherwise="No heartbeat or worker ended in the last 24 hours.",
            wraps="reason",
        )
        if found.words:
            self.say(found.words)
        for gap in found.gaps:
            self.explain(gap.words)

    def do_drain(self, *, workers: Sequence[str], yes: bool, **options: Any) -> None:
        chosen = self._named(workers)
        leaving = [one.process.pk for one in chosen if not one.process.drain_requested_at]
        unserved = Fleet.at(self.using, self.now).without(leaving)
        if unserved or len(chosen) > len(set(workers)):
            self.confirm(_question(chosen, unserved), is_confirmed=yes)
        drained = [one for one in chosen if one.process.request_drain(self.now)]
        if not drained:
            raise CommandError("Nothing to drain: already draining, or stopped.")
        words = ngettext(
            "Draining %d worker. It exits when its current runs have finished. To see whether it "
            "has: manage.py sisy_workers list",
            "Draining %d workers. They exit when their current runs have finished. To see whether "
            "they have: manage.py sisy_workers list",
            len(drained),
        )
        self.say_with(words % len(drained), draining=[name_of_worker(one) for one in drained])

    def _workers(self) -> list[Member]:
        found = members(self.using, self.now)
        return [one for one in found if one.process.role == Role.WORKER]

    def _named(self, names: Sequence[str]) -> list[Member]:
        """Return the workers with these names, or on these hosts.

        Raises:
            CommandError: no worker has one of the names.
        """
        found = self._workers()
        chosen: dict[int, Member] = {}
        for name in names:
            bare = name.removeprefix("worker ")
            these = [one for one in found if bare in (name_of_worker(one), one.process.host)]
            if not these:
                known = {text for one in found for text in (name_of_worker(one), one.process.host)}
                hint = did_you_mean(bare, known) or (
                    " Run 'manage.py sisy_workers list' to see all workers."
                )
                raise CommandError(f"No worker or host is named {name!r}.{hint}")
            chosen |= {one.process.pk: one for one in these}
        return list(chosen.values())

    def _line(self, one: Member) -> dict[str, Any]:
        return {
            "worker": name_of_worker(one),
            "state": state_of_worker(one),
            "queues": ", ".join(one.process.queues),
            "runs": len(one.runs),
            "slots": one.process.slots,
            "lease_ends": formatting.distance(one.process.lease_until, self.now),
            "started": formatting.distance(one.process.started_at, self.now),
        }

    def _line_of_run(self, run: Run, progress: dict[int, ShownProgress]) -> dict[str, Any]:
        far = progress.get(run.pk)
        return {
            "run": run.pk,
            "task": run.label,
            "worker": run.worker_name.removeprefix("worker "),
            "for": took(run, self.now).removesuffix(" …"),
            "progress": progress_in_words(far) if far else "",
        }

    def _facts(self, one: Member, progress: dict[int, ShownProgress]) -> dict[str, Any]:
        process = one.process
        return {
            "worker": name_of_worker(one),
            "host": process.host,
            "pid": process.pid,
            "version": process.version,
            "state": state_of_worker(one),
            "queues": process.queues,
            "slots": process.slots,
            "started": process.started_at,
            "lease_until": process.lease_until,
            "drain_requested": process.drain_requested_at,
            "problem": process.problem,
            "runs": [
                {
                    "id": run.pk,
                    "label": run.label,
                    "started": run.started_at,
                    "progress": progress[run.pk].percent if run.pk in progress else None,
                }
                for run in one.runs
            ],
        }


def _line_of_ended(one: Ended, now: datetime) -> dict[str, Any]:
    return {
        "process": str(one.process),
        "queues": ", ".join(one.process.queues) or formatting.NOTHING,
        "ended": when(one.at, now),
        "lifetime": formatting.span(one.lived),
        "reason": one.process.end_reason,
    }


def _question(chosen: Sequence[Member], unserved: Sequence[str]) -> str:
    """Return what a drain of workers does, which cannot be undone."""
    number, runs = len(chosen), sum(len(one.runs) for one in chosen)
    named = {"number": number, "names": ", ".join(map(name_of_worker, chosen))}
    what = ngettext(
        "This drains %(number)d worker: %(names)s.",
        "This drains %(number)d workers: %(names)s.",
        number,
    )
    end = ngettext(
        "It has no current runs, and exits.", "They have no current runs, and exit.", number
    )
    if runs:
        end = ngettext(
            "It finishes %(runs)s, and exits.", "They finish %(runs)s, and exit.", number
        )
        end %= {"runs": ngettext("%d current run", "%d current runs", runs) % runs}
    return " ".join([what % named, end, *map(unserved_in_words, unserved)])


def _facts_of_ended(one: Ended) -> dict[str, Any]:
    process = one.process
    return {
        "role": process.role,
        "host": process.host,
        "pid": process.pid,
        "version": process.version,
        "queues": process.queues,
        "started": process.started_at,
        "ended": one.at,
        "noted": process.ended_at,
        "reason": process.end_reason,
    }
