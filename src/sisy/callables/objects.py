"""The object whose method is called: in which database it is, and how a worker fetches it.

Only its primary key is stored. A worker looks for it in the one database to which the routers send
writes of its model, so that an object of any other database must be refused: there may be another
one under the same key.
"""

from typing import Any

from django.db import connections, models, router

from sisy.callables.keys import primary_key
from sisy.exceptions import CallableError

ASKED = 100  # times that routers are asked for a replica, since many choose one at random


def fetch(model: type[models.Model], pk: str | None) -> models.Model:
    """Return the object with this key, as the database has it to which it would be written.

    Replicas may not know it yet. Managers are passed by: the base manager of a model may hide
    objects, or look elsewhere.

    Raises:
        ObjectDoesNotExist: there is none.
        CallableError: the model has no such keys.
    """
    found: Any = models.QuerySet(model).using(router.db_for_write(model))
    return found.get(pk=primary_key(model, pk))  # type: ignore[no-any-return]


def check_home(instance: models.Model) -> None:
    """Refuse an object that `fetch` would not find, or in whose place it would find another one.

    Raises:
        CallableError: it comes from another database, which is no replica.
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
