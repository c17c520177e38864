"""Primary keys of objects whose methods are called, and how a worker fetches these objects."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, models, router

from sisy.exceptions import CallableError

PK_LIMIT = 255
ROUTER_CALLS = 100  # to find a replica, because many routers choose one at random


def primary_key(model: type[models.Model], text: str | None) -> Any:
    """Convert a stored text to a primary key of ``model``.

    Raises:
        CallableError: the text is not a valid key, or the model has a composite key.
    """
    field = model._meta.pk
    if field is None or getattr(model._meta, "pk_fields", [field]) != [field]:
        raise CallableError(
            f"{model._meta.label} has a composite primary key, which Sisy does not support. Use "
            "a function that looks up the object."
        )
    # The key of an inherited model is a link to its parent.
    while field.remote_field is not None:
        field = field.target_field  # type: ignore[attr-defined]
    try:
        return field.to_python(text)
    except ValidationError as error:
        raise CallableError(
            f"{text!r} is not a valid primary key of {model._meta.label}: "
            f"{' '.join(error.messages)}"
        ) from None


def serialised(model: type[models.Model], pk: Any) -> str:
    """Convert a primary key to text, as its field serializes it.

    Raises:
        CallableError: the text is too long to store.
    """
    field = model._meta.pk
    assert field is not None
    text = field.value_to_string(model(**{field.attname: pk}))
    if len(text) > PK_LIMIT:
        raise CallableError(
            f"The primary key of {model._meta.label} has {len(text)} characters, but Sisy stores "
            f"at most {PK_LIMIT}. Use a function that looks up the object."
        )
    return text


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
        f"{came_from!r}, but workers read it from {home!r}, because DATABASE_ROUTERS "
        "sends writes of this model there. Use a function that looks up the object, or route the "
        f"model to {came_from!r}."
    )


def _is_replica(alias: str, home: str, model: type[models.Model]) -> bool:
    if connections[alias].settings_dict["TEST"]["MIRROR"] == home:
        return True
    return any(router.db_for_read(model) == alias for _ in range(ROUTER_CALLS))
