"""Convert the primary key of an object to text, and back."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from sisy.exceptions import CallableError

PK_LIMIT = 255


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
