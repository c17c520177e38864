"""The values of a task's fields, as recorded in JSON, in words."""

from typing import Any

from django.db.models import BooleanField, DateTimeField, DurationField, Field
from django.utils.dateparse import parse_duration
from django.utils.text import Truncator
from django.utils.translation import gettext

from sisy.models import Task
from sisy.records.nested import written
from sisy.reports import formatting

EMPTY = "—"
MAX_LENGTH = 200  # characters of a value in words


def name_of(column: str) -> str:
    """Return the name of a field for people."""
    return str(_field(column).verbose_name)


def value_of(column: str, value: Any) -> str:
    """Return the value of a field. Secrets are not masked."""
    field = _field(column)
    if value in (None, "") or value == {}:
        return EMPTY
    if isinstance(field, BooleanField):
        return gettext("yes") if value else gettext("no")
    if isinstance(field, DurationField) and (span := parse_duration(str(value))) is not None:
        return formatting.span(span)
    if isinstance(field, DateTimeField) and (moment := field.to_python(value)) is not None:
        return formatting.short(moment)
    choices: dict[Any, Any] = dict(field.flatchoices)
    return shortened(str(choices.get(value, value)))


def json_text(value: Any) -> str:
    """Return a JSON value on one line."""
    return shortened(written(value, on_lines=False))


def shortened(text: str) -> str:
    """Return the beginning of a long text."""
    return str(Truncator(text).chars(MAX_LENGTH))


def _field(column: str) -> "Field[Any, Any]":
    return Task._meta.get_field(column)  # type: ignore[return-value]
