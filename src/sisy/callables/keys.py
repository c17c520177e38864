"""The primary key of the object whose method is called, as text and back."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from sisy.exceptions import CallableError

PK_LIMIT = 255


def primary_key(model: type[models.Model], text: str | None) -> Any:
    """Return the key for which ``text`` stands.

    Raises:
        CallableError: the model has no such keys.
    """
    field = model._meta.pk
    if field is None or getattr(model._meta, "pk_fields", [field]) != [field]:
        raise CallableError(
            f"{model._meta.label} has a composite primary key, which Sisy does not support. Use "
            "a function that looks up the object."
        )
    while field.remote_field is not None:  # the parent link of an inherited model
        field = field.target_field  # type: ignore[attr-defined]
    try:
        return field.to_python(text)
    except ValidationError as error:
        raise CallableError(
            f"{text!r} is not a valid primary key of {model._meta.label}: "
            f"{' '.join(error.messages)}"
        ) from None


def serialised(model: type[models.Model], pk: Any) -> str:
    """Return a key as the field itself serialises it.

    Raises:
        CallableError: it is too long to be stored.
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
