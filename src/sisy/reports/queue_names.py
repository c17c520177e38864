"""The names of the queues of tasks.

A site may have a million tasks and three queues. Most tasks are in the queue "default". An index
has the others, by queue, and leads from each name to the next. MySQL and MariaDB have no index of
a part of the rows, and read all tasks.
"""

from django.db import connections

from sisy.conf import DEFAULT_QUEUES
from sisy.models.task_queries import TaskQuerySet

MAX_STEPS = 20  # names that are found one by one; if there are more, all tasks are read


def queues_of(tasks: TaskQuerySet) -> list[str]:
    """Return the names of the queues of some tasks, sorted."""
    every = tasks.order_by("queue").values_list("queue", flat=True)
    if not connections[tasks.db].features.supports_partial_indexes:
        return sorted(every.distinct())
    (default,) = DEFAULT_QUEUES
    names = [default] if tasks.filter(queue=default).exists() else []
    others = every.exclude(queue=default)
    name = others.first()
    while name is not None:
        names.append(name)
        if len(names) > MAX_STEPS:
            names += others.filter(queue__gt=name).distinct()
            break
        name = others.filter(queue__gt=name).first()
    return sorted(names)
