"""``manage.py sisy``: a heartbeat and a worker in one process."""

from typing import Any

from django.core.management.base import CommandParser

from sisy.management.neighbours import log_neighbours
from sisy.management.serving import ServingCommand, add_worker_arguments, heartbeat, worker
from sisy.runtime.log import logger
from sisy.runtime.run_until_stopped import Service


class Command(ServingCommand):
    help = (
        "Runs the heartbeat and a worker in one process, which is all that a small site needs. "
        "Larger sites run sisy_heartbeat and sisy_worker instead, any number of each. SIGTERM or "
        "SIGINT (Ctrl-C) stops it gracefully. A second signal stops it immediately. To look at a "
        "site, use sisy_status, sisy_tasks, sisy_runs and sisy_alerts."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_worker_arguments(parser)

    def build(self, **options: Any) -> Service:
        service = Service(heartbeat(**options), worker(**options))
        # The name looks like that of a command that only shows something.
        logger.info(
            "Starting a heartbeat and a worker, which run until you press Ctrl-C. For the options "
            "and the other commands: manage.py sisy --help"
        )
        log_neighbours()
        return service
