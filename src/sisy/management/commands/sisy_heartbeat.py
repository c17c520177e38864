"""``manage.py sisy_heartbeat``: a process that plans due tasks."""

from typing import Any

from sisy.management.serving import ServingCommand, heartbeat
from sisy.runtime.run_until_stopped import Service


class Command(ServingCommand):
    help = (
        "Plans a run for each occurrence that is due. Workers execute the runs. The command stays "
        "in the foreground. You can run any number of heartbeats: each occurrence is planned "
        "exactly once. SIGTERM or SIGINT (Ctrl-C) stops it gracefully. A second signal stops it "
        "immediately."
    )

    def build(self, **options: Any) -> Service:
        return Service(heartbeat(**options))
