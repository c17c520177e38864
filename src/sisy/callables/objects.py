"""Fetch the object whose method a task calls, and check that workers will find it.

Only the primary key is stored. A worker fetches the object from the database to which the routers
send writes of its model. An object from any other database is rejected, because a different object
may have the same key there.
"""

from typing import Any

from django.db import connections, models, router

from sisy.callables.keys import primary_key
from sisy.exceptions import CallableError

ASKED = 100  # how often to ask the routers for a replica, because many choose one at random


def fetch(model: type[models.Model], pk: str | None) -> models.Model:
    """Return the object with this key, from the database to which its model is written.

    Raises:
        ObjectDoesNotExist: there is no such object.
        CallableError: the key is not valid for the model.
    """
    # Replicas may not have it yet. Managers may hide objects or use another database.
    found: Any = models.QuerySet(model).using(router.db_for_write(model))
    return found.get(pk=primary_key(model, pk))  # type: ignore[no-any-return]


def check_home(instance: models.Model) -> None:
    """Check that `fetch` would find this very object.

    Raises:
        CallableError: the object comes from another database, which is not a replica.
    """
    model, came_from = type(instance), instance._state.db
    home = router.db_for_write(model)
    if came_from in (None, home) or _is_replica(came_from, home, model):
        return
    raise CallableError(
        f"The {model._meta.label} with primary key {instance.pk!r} was read from the database "
        f"{came_from!r}, but workers read it from {home!r}, to which DATABASE_ROUTERS send "
        "writes of its model. Use a function that looks up the object, or route the model to "
        f"{came_from!r}."
    )


def _is_replica(alias: str, home: str, model: type[models.Model]) -> bool:
    if connections[alias].settings_dict["TEST"]["MIRROR"] == home:
        return True
    return any(router.db_for_read(model) == alias for _ in range(ASKED))
