"""``manage.py sisy_worker``: a process that executes runs."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from sisy.management.serving import (
    ServingCommand,
    add_processes_argument,
    add_worker_arguments,
    refuse_on_windows,
    worker,
)
from sisy.management.supervisor import Supervisor, own_command
from sisy.runtime.run_until_stopped import Service


class Command(ServingCommand):
    help = (
        "Executes the runs in its queues. The command stays in the foreground. You can run any "
        "number of workers. After SIGTERM or SIGINT (Ctrl-C), it claims no more runs, gives "
        "current ones --grace seconds to finish, and releases the rest to other workers. A second "
        "signal releases them immediately."
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
                f"--processes {count} cannot be combined with --reload, which is the default if "
                "DEBUG is True. Use --no-reload, or remove --processes."
            )
        super().handle(*args, **options)
        if self.supervisor is not None and self.supervisor.has_failed:
            raise CommandError("Some worker processes failed. See the log for details.")

    def build(self, **options: Any) -> Service:
        if options["processes"] == 1:
            return Service(worker(**options))
        refuse_on_windows(f"--processes {options['processes']}")
        self.supervisor = Supervisor(own_command("--processes=1"), options["processes"])
        return Service(self.supervisor)
