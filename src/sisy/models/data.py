"""A column that holds JSON, of which any depth can be read."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.translation import gettext_lazy as _

from sisy import nested
from sisy.escaping import escaped_json

TOO_DEEP = _("Must be nested at most %d levels deep.")


class DataFormField(forms.JSONField):
    """Shows JSON of any depth, and refuses what is nested too deeply."""

    def to_python(self, value: Any) -> Any:
        return self._refusing_depth(super().to_python, value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(super().has_changed(initial, data))
        except (RecursionError, ValueError, ValidationError):
            return True

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except (RecursionError, ValueError):
            return forms.fields.InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, forms.fields.InvalidJSONInput):
            return value
        return escaped_json(nested.written(value, on_lines=False))  # halves of pairs, too

    def _refusing_depth(self, read: Any, value: Any) -> Any:
        try:
            found = read(value)
        except RecursionError:
            raise ValidationError(TOO_DEEP % nested.MAX_DEPTH) from None
        except ValueError:  # Python reads no number of more than 4300 digits
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None
        if nested.is_too_deep(found):
            raise ValidationError(TOO_DEEP % nested.MAX_DEPTH)
        return found


class DataField(models.JSONField):
    """JSON that may have been stored by anything, and nested to any depth.

    Django reads and writes it by recursion: one row would make each list that it stands in fail.
    """

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        try:
            return super().from_db_value(value, expression, connection)
        except RecursionError:
            return nested.read(value)
        except ValueError:  # Python reads no number of more than 4300 digits
            return str(value)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        try:
            return super().get_db_prep_value(value, connection, prepared)
        except RecursionError:
            raise ValueError(
                f"{self.name} is nested too deeply. Use at most {nested.MAX_DEPTH} levels."
            ) from None

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": DataFormField, **kwargs})
