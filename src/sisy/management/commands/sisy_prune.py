"""``manage.py sisy_prune``: delete old runs now."""

import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import router
from django.utils.translation import ngettext

from sisy import clock, conf
from sisy.heartbeat.retention import count_before, prune_before
from sisy.management.arguments import measure
from sisy.management.output import AnsweringCommand
from sisy.management.progress import Progress
from sisy.models import Task


class Command(AnsweringCommand):
    help = (
        "Deletes runs that finished more than --days days ago. Heartbeats also do this, a few at "
        "a time; use this command to do it at once. It keeps queued and running runs, and each "
        "task's totals still count the deleted runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--days",
            type=measure("days", 36_500),
            metavar="N",
            help="delete runs that finished more than N days ago (default: SISY_HISTORY_DAYS)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="only show how many runs would be deleted"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(Task)
        days = conf.get_settings().history_days if options["days"] is None else options["days"]
        if options["days"] is None and not days:
            raise CommandError("SISY_HISTORY_DAYS is 0, so history is kept forever. Use --days.")
        now = clock.now(using)
        before = now - timedelta(days=days)
        count = count_before(using, before, now)
        if not options["dry_run"]:
            count = self._prune(prune_before(using, before, now), count, options["verbosity"])
        if self.as_json:
            self.say_json({"pruned": count, "before": before, "dry_run": options["dry_run"]})
        else:
            runs = ngettext("%s run", "%s runs", count) % f"{count:,}"
            verb = "Would delete" if options["dry_run"] else "Deleted"
            self.stdout.write(f"{verb} {runs} that finished before {before:%Y-%m-%d}.")

    def _prune(self, batches: Iterable[int], expected: int, verbosity: int) -> int:
        pruned = 0
        with Progress(
            sys.stderr, "Deleting runs", expected, is_quiet=verbosity < 1 or self.as_json
        ) as progress:
            for batch in batches:
                pruned += batch
                progress.reach(pruned, f"{pruned:,} of about {expected:,}")
        return pruned
