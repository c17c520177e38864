"""What leaves the database: tasks at the end of their life, and old history."""

from datetime import datetime, timedelta

from sisy import conf
from sisy.models import Run, Task
from sisy.models.choices import LIVE_STATES

BATCH = 1000


def delete_ended(using: str) -> int:
    """Delete the retired tasks whose last run has finished; their history stays."""
    pks = list(Task.objects.using(using).ended().values_list("pk", flat=True)[:BATCH])
    if pks:
        Task.objects.using(using).ended().filter(pk__in=pks).delete()
    return len(pks)


def prune_history(using: str, now: datetime) -> int:
    """Delete a batch of the runs that ended before ``SISY_HISTORY_DAYS``."""
    days = conf.get_settings().history_days
    if not days:
        return 0
    ended = Run.objects.using(using).filter(finished_at__lt=now - timedelta(days=days))
    pks = list(ended.order_by("finished_at").values_list("pk", flat=True)[:BATCH])
    over = Run.objects.using(using).filter(pk__in=pks).exclude(state__in=LIVE_STATES)
    return over._raw_delete(using) if pks else 0
