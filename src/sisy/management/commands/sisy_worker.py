"""``manage.py sisy_worker``: a process that carries out runs."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from sisy.management.serving import (
    ServingCommand,
    add_processes_argument,
    add_worker_arguments,
    refuse_on_windows,
    worker,
)
from sisy.service import Service
from sisy.supervisor import Supervisor, own_command


class Command(ServingCommand):
    help = (
        "Carries out the runs of its queues. It stays in the foreground; any number may run. "
        "TERM or INT: it takes no more runs, lets those it has go on for --grace seconds, and "
        "hands the rest to other workers; a second signal hands them over at once."
    )

    supervisor: Supervisor | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_worker_arguments(parser)
        add_processes_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        count = options["processes"]
        if count > 1 and options["reload"]:
            raise CommandError(
                f"--processes {count} does not go with --reload, which is on by default where "
                "DEBUG is. Give --no-reload, or leave --processes out."
            )
        super().handle(*args, **options)
        if self.supervisor is not None and self.supervisor.has_failed:
            raise CommandError("Not all processes ended well; the log says how.")

    def build(self, **options: Any) -> Service:
        if options["processes"] == 1:
            return Service(worker(**options))
        refuse_on_windows(f"--processes {options['processes']}")
        self.supervisor = Supervisor(own_command("--processes=1"), options["processes"])
        return Service(self.supervisor)
