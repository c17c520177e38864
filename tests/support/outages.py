"""An outage of three hours, and what tasks missed in it."""

from sisy.lifecycle.miss import missed_row
from sisy.models import Task
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled

TASKS = (
    ("mail", "*/10 * * * *", NOON + 10 * MINUTE),
    ("backup", "0 10 * * *", NOON + DAY),
    ("report", "0 9,10,11 * * *", NOON + 21 * HOUR),
)
"""The labels of tasks, their schedules, and when each is due again; the first one is soon."""


def missed(label, schedule, next_run, first=NOON - 3 * HOUR, last=NOON - HOUR):
    """Store a task that missed occurrences of a range. Return it, and the row about them."""
    task = scheduled(schedule, label=label)
    Task.objects.filter(pk=task.pk).update(next_run=next_run)
    row = missed_row(task, first, last, 2, "Nothing was up.", NOON)
    row.save()
    return task, row
