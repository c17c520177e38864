"""``manage.py sisy``: a heartbeat and a worker in one process."""

from typing import Any

from django.core.management.base import CommandParser

from sisy.management.serving import ServingCommand, add_worker_arguments, heartbeat, worker
from sisy.service import Service


class Command(ServingCommand):
    help = (
        "Plans what is due and carries it out, in one process: all that a small site needs. "
        "Larger ones run sisy_heartbeat and sisy_worker, as many of each as they like. "
        "TERM or INT ends it gracefully, a second one at once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_worker_arguments(parser)

    def build(self, **options: Any) -> Service:
        return Service(heartbeat(**options), worker(**options))
