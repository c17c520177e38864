"""Delete the stored output of runs once it is older than ``SISY_OUTPUT_DAYS``."""

from datetime import datetime, timedelta

from sisy import conf
from sisy.models import RunOutput
from sisy.runtime.compat import delete_bare

BATCH = 500


class OutputRounds:
    """One heartbeat's walks through the stored output, each from the oldest run on.

    No index contains the age of output, because its row changes while the run is running. The keys
    of runs grow with time instead, so a walk ends after a batch that has nothing old enough.

    Attributes:
        is_behind: whether there may be more that is old enough.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._after = 0
        self.is_behind = False

    def prune(self, now: datetime) -> int:
        """Delete a batch of old output. Return of how many attempts."""
        days = conf.get_settings().output_days
        if not days:
            self.is_behind = False
            return 0
        before = now - timedelta(days=days)
        stored = RunOutput.objects.using(self._using)
        following = stored.filter(run_id__gt=self._after).order_by("run_id", "attempt")
        rows = list(following.values_list("run_id", "updated_at")[:BATCH])
        old = {run for run, updated_at in rows if updated_at < before}
        self.is_behind = len(rows) == BATCH and bool(old)
        self._after = rows[-1][0] if self.is_behind else 0
        return delete_bare(stored.filter(run_id__in=old, updated_at__lt=before)) if old else 0
