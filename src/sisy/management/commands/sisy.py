"""``manage.py sisy``: a heartbeat and a worker in one process."""

from typing import Any

from django.core.management.base import CommandParser

from sisy.management.neighbours import log_neighbours
from sisy.management.serving import ServingCommand, add_worker_arguments, heartbeat, worker
from sisy.runtime.service import Service


class Command(ServingCommand):
    help = (
        "Runs the heartbeat and a worker in one process, which is all that a small site needs. "
        "Larger sites run sisy_heartbeat and sisy_worker instead, any number of each. SIGTERM or "
        "SIGINT (Ctrl-C) stops it gracefully. A second signal stops it immediately."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_worker_arguments(parser)

    def build(self, **options: Any) -> Service:
        log_neighbours()
        return Service(heartbeat(**options), worker(**options))
