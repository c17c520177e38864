"""``manage.py sisy_health``: the health of a site, for probes."""

import socket
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import router

from sisy import clock
from sisy.management import unknown_names
from sisy.management.arguments import measure
from sisy.management.output import AnsweringCommand
from sisy.management.serving import queue_names
from sisy.models import Task
from sisy.reports.alerts.health import (
    DEFAULT_LIMIT,
    health,
    health_of_host,
    queues_to_check,
)


class Command(AnsweringCommand):
    help = (
        "Checks that a heartbeat is running, that workers serve the queues, and that no task or "
        "run is overdue. Exit codes: 0 healthy, 1 unhealthy, 2 invalid arguments, 3 cannot "
        "query the database."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--queues",
            type=queue_names,
            metavar="NAMES",
            help="comma-separated names of the queues to check (default: workers for the queues "
            "of all active tasks, and runs in every queue)",
        )
        parser.add_argument(
            "--max-overdue",
            type=measure("seconds", 31_536_000),
            default=DEFAULT_LIMIT.total_seconds(),
            metavar="S",
            help="unhealthy if a run has been queued, or a task overdue, for more than S seconds "
            "(default: %(default)g)",
        )
        parser.add_argument(
            "--this-host",
            action="store_true",
            help="only check that this host runs a heartbeat or worker, for a container's health "
            "check",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        using = router.db_for_write(Task)
        limit = timedelta(seconds=options["max_overdue"])
        now = clock.now(using)
        if options["this_host"]:
            found = health_of_host(using, now, socket.gethostname())
        else:
            named = options["queues"]
            queues = named or queues_to_check(using)
            found = health(using, now, queues, limit, is_limited=bool(named))
        self.answer([finding.row for finding in found], wraps="details")
        if wrong := [finding.name for finding in found if not finding.is_well]:
            if not self.as_json:
                self.say("To see what to do: manage.py sisy_status")
            # A name that nothing uses is probably mistyped, so its queue has no worker.
            unknown = unknown_names.in_queues(options["queues"] or (), using, now)
            raise CommandError(f"Unhealthy: {', '.join(wrong)}.{unknown}", returncode=1)
