"""``manage.py sisy_heartbeat``: the process that plans what is due."""

from typing import Any

from sisy.management.serving import ServingCommand, heartbeat
from sisy.service import Service


class Command(ServingCommand):
    help = (
        "Plans due tasks, to the second. Workers execute the runs. The command stays in the "
        "foreground. Any number of heartbeats may run: each occurrence is planned exactly once. "
        "TERM or INT stops it."
    )

    def build(self, **options: Any) -> Service:
        return Service(heartbeat(**options))
