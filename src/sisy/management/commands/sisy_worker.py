"""``manage.py sisy_worker``: a process that carries out runs."""

from typing import Any

from django.core.management.base import CommandParser

from sisy.management.serving import ServingCommand, add_worker_arguments, worker
from sisy.service import Service


class Command(ServingCommand):
    help = (
        "Carries out the runs of its queues. It stays in the foreground; any number may run. "
        "TERM or INT: it takes no more runs, lets those it has go on for --grace seconds, and "
        "hands the rest to other workers; a second signal hands them over at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_worker_arguments(parser)

    def build(self, **options: Any) -> Service:
        return Service(worker(**options))
