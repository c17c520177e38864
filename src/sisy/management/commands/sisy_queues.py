"""``manage.py sisy_queues``: queues with their backlogs; pause and resume them."""

from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.translation import ngettext

from sisy.alerting.capacity import Fleet
from sisy.exceptions import did_you_mean
from sisy.management import moments
from sisy.management.looks import state_of_queue
from sisy.management.output import counted
from sisy.management.verbs import VerbCommand, add_by, who
from sisy.models import Queue
from sisy.reports import formatting, skipping
from sisy.reports.fleet import HOUR
from sisy.reports.queues import QueueStats, queues, throughput_by_queue
from sisy.runtime.durations import in_zone


class Command(VerbCommand):
    help = (
        "Shows queues with their backlogs, pauses and resumes them. Exits with 1 if a queue does "
        "not exist, or if there was nothing to do."
    )
    examples = (
        "sisy_queues list",
        "sisy_queues pause mail --reason down --until 2h",
        "sisy_queues resume mail",
    )

    def add_verbs(self, verb: Callable[[str, str], ArgumentParser]) -> None:
        verb("list", "list queues with their backlogs and workers, and what holds up their runs")
        pause = verb("pause", "pause queues: workers start no more of their runs")
        resume = verb("resume", "resume paused queues")
        for parser in (pause, resume):
            parser.add_argument("queues", nargs="+", metavar="QUEUE", help="names of queues")
        pause.add_argument("--reason", default="", metavar="TEXT", help="the reason for the pause")
        pause.add_argument(
            "--until",
            metavar="WHEN",
            help=f"when to resume them: {moments.FORMS} (default: only when you resume them)",
        )
        add_by(pause)

    def do_list(self, **options: Any) -> None:
        found, fleet = queues(self.using, self.now), Fleet.at(self.using, self.now)
        numbers, is_all = throughput_by_queue(self.using, self.now, HOUR)
        ended = {each.name: counted(numbers.get(each.name, 0), is_all=is_all) for each in found}
        if self.as_json:
            self.say_json([_facts(each, fleet, ended[each.name]) for each in found])
            return
        rows = [self._line(each, fleet, ended[each.name]) for each in found]
        self.answer(rows, otherwise="No task, run or worker uses a queue yet.")
        for each in found:
            if each.queued or each.paused_at:
                self._say_hindrance(each, fleet)

    def _line(self, queue: QueueStats, fleet: Fleet, ended: int) -> dict[str, Any]:
        oldest = formatting.distance(queue.oldest, self.now) if queue.oldest else ""
        return {
            "queue": queue.name,
            "state": state_of_queue(queue, fleet),
            "queued": counted(queue.queued, is_all=queue.is_all),
            "oldest": oldest,
            "running": queue.running,
            "slots": queue.slots,
            "workers": len(queue.workers),
            "last_hour": ended,
        }

    def _say_hindrance(self, queue: QueueStats, fleet: Fleet) -> None:
        zone = timezone.get_default_timezone()
        name = queue.name
        if words := fleet.hindrance(name, zone) or fleet.fullness(name):
            self.explain(f"{words[:1].upper()}{words[1:]}.")
        if queue.paused_at:
            self.say(f"  To resume it: manage.py sisy_queues resume {name}")
        elif not fleet.serving(name):
            self.say(f"  To start a worker: manage.py sisy_worker --queues {name}")
            if words := skipping.warning(self.using, name, self.now):
                self.explain(words)
        elif words:
            self.say(
                f"  To see what runs: manage.py sisy_runs list --queue {name} --state running"
            )

    def do_pause(
        self,
        *,
        queues: Sequence[str],
        reason: str,
        until: str | None,
        by: str,
        **options: Any,
    ) -> None:
        zone = timezone.get_default_timezone_name()
        end = moments.until(until, zone, self.now)
        names = self._named(queues)
        try:
            paused = [name for name in names if Queue.objects.pause(name, reason, who(by), end)]
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not paused:
            raise CommandError(f"Already paused: {', '.join(names)}.")
        words = ngettext("Paused the queue %s", "Paused the queues %s", len(paused))
        lasts = f" until {in_zone(end, formatting.zone_named(zone))}" if end else ""
        self.say_with(
            f"{words % ', '.join(paused)}{lasts}. Current runs continue. To resume: manage.py "
            f"sisy_queues resume {' '.join(paused)}",
            paused=paused,
            paused_until=end,
        )

    def do_resume(self, *, queues: Sequence[str], **options: Any) -> None:
        names = self._named(queues)
        resumed = [name for name in names if Queue.objects.resume(name)]
        if not resumed:
            raise CommandError(f"Not paused: {', '.join(names)}.")
        words = ngettext("Resumed the queue %s.", "Resumed the queues %s.", len(resumed))
        self.say_with(words % ", ".join(resumed), resumed=resumed)

    def _named(self, names: Sequence[str]) -> list[str]:
        """Return the names without duplicates.

        Raises:
            CommandError: no task, run or worker uses a queue with one of these names.
        """
        known = [queue.name for queue in queues(self.using, self.now)]
        for name in names:
            if name not in known:
                hint = did_you_mean(name, known) or (
                    f" The queues are: {', '.join(known)}." if known else ""
                )
                raise CommandError(f"No task, run or worker uses a queue named {name!r}.{hint}")
        return list(dict.fromkeys(names))


def _facts(queue: QueueStats, fleet: Fleet, ended: int) -> dict[str, Any]:
    return {
        "queue": queue.name,
        "state": state_of_queue(queue, fleet),
        "queued": queue.queued,
        "oldest": queue.oldest,
        "running": queue.running,
        "slots": queue.slots,
        "workers": queue.workers,
        "last_hour": ended,
        "paused": queue.paused_at,
        "paused_until": queue.paused_until,
        "paused_by": queue.paused_by,
        "pause_reason": queue.pause_reason,
    }
