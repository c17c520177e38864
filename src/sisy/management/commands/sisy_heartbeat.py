"""``manage.py sisy_heartbeat``: the process that plans what is due."""

from typing import Any

from sisy.management.serving import ServingCommand, heartbeat
from sisy.service import Service


class Command(ServingCommand):
    help = (
        "Plans what is due, second by second; workers carry it out. It stays in the foreground. "
        "Any number may run at once: each occurrence is planned exactly once. "
        "TERM or INT ends it."
    )

    def build(self, **options: Any) -> Service:
        return Service(heartbeat(**options))
