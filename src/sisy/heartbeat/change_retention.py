"""Delete the recorded changes of deleted tasks."""

from sisy.models import Task, TaskChange
from sisy.runtime.compat import delete_bare

BATCH = 500


class ChangeRounds:
    """One heartbeat's walks through the recorded changes, a batch at each thorough pass.

    Tasks that end by themselves are deleted without their changes, because few of them have any.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        self._after = 0

    def prune(self) -> int:
        """Delete those of a batch whose task was deleted. Return how many."""
        stored = TaskChange.objects.using(self._using)
        rows = list(
            stored.filter(pk__gt=self._after).order_by("pk").values_list("pk", "task_id")[:BATCH]
        )
        self._after = rows[-1][0] if len(rows) == BATCH else 0
        if not rows:
            return 0
        owners = {task for _, task in rows}
        kept = Task.objects.using(self._using).filter(pk__in=owners).values_list("pk", flat=True)
        gone = owners - set(kept)
        return (
            delete_bare(stored.filter(pk__in=[pk for pk, task in rows if task in gone]))
            if gone
            else 0
        )
