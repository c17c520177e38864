"""What people may choose to be called."""

from django.db import router

from sisy import conf
from sisy.callables import kind_at
from sisy.exceptions import CallableError
from sisy.models import Task


def known_targets() -> set[str]:
    """Return the paths for which developers vouch: by ``SISY_CALLABLES``, or by having used them.

    Those that can no longer be called are left out.
    """
    tasks = Task.objects.using(router.db_for_write(Task))
    stored = tasks.order_by().values_list("target_path", flat=True).distinct()
    return set(filter(_can_be_called, {*conf.get_settings().callables, *stored}))


def _can_be_called(path: str) -> bool:
    try:
        kind_at(path)
    except CallableError:
        return False
    return True
