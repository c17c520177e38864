"""The column types of moments, reasons and JSON data."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sisy.records import nested
from sisy.runtime.escaping import escaped, escaped_json
from sisy.schedules import calendar

if TYPE_CHECKING:
    CharField = models.CharField[str, str]
else:
    CharField = models.CharField


class MomentField(models.DateTimeField):  # type: ignore[type-arg]
    """A moment: always an aware UTC datetime in Python, always UTC in the database.

    Django stores local time where ``USE_TZ`` is off, and, but for PostgreSQL, where the database
    has a ``TIME_ZONE`` of its own, and then cannot tell the two passes of a repeated hour apart.
    A scheduler must.
    """

    # Django's own writes moments that are set by themselves, which ours never are; and
    # `update_or_create` would name each of them in ``update_fields``.
    pre_save = models.Field.pre_save

    def from_db_value(
        self, value: datetime | None, expression: Any, connection: BaseDatabaseWrapper
    ) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo and connection.vendor == "postgresql":
            return value.astimezone(UTC)
        # What is stored is UTC, whatever zone Django has put to it.
        return value.replace(tzinfo=UTC)

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        is_inner = compiler.query.subquery  # what is around it would convert it back
        if not (settings.USE_TZ or is_inner) and compiler.connection.vendor == "postgresql":
            # Without this the driver gives the local time of the session, without its zone.
            sql = f"({sql} AT TIME ZONE 'UTC')"
        return sql, params

    def to_python(self, value: Any) -> datetime | None:
        if isinstance(value, datetime) and value.tzinfo is UTC:
            return value
        moment: datetime | None = super().to_python(value)
        if moment is None:
            return None
        if timezone.is_naive(moment):
            moment = timezone.make_aware(moment, timezone.get_default_timezone())
        if not calendar.is_within(moment):
            raise ValidationError(
                f"{moment.isoformat()} is not within the years {calendar.YEARS}. Leave it out to "
                "set no date."
            )
        return moment.astimezone(UTC)

    def get_prep_value(self, value: Any) -> Any:
        # Skips DateTimeField's own: it knows USE_TZ projects only.
        return self.to_python(models.Field.get_prep_value(self, value))

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        moment = value if prepared else self.get_prep_value(value)
        if moment is None or hasattr(moment, "resolve_expression"):
            return moment
        if connection.vendor != "postgresql":
            moment = moment.replace(tzinfo=None)  # else Django would store local time
        return connection.ops.adapt_datetimefield_value(moment)

    def value_from_object(self, obj: models.Model) -> Any:
        moment = super().value_from_object(obj)
        if moment is not None and not settings.USE_TZ and timezone.is_aware(moment):
            return timezone.make_naive(moment, timezone.get_default_timezone())
        return moment


class ReasonField(CharField):
    """A reason: one line that can be shown anywhere, cut to what fits.

    It may quote a person or an error: what terminals and logs would obey is stored as an escape.
    """

    def get_prep_value(self, value: Any) -> Any:
        prepared = super().get_prep_value(value)
        return escaped(prepared)[: self.max_length] if isinstance(prepared, str) else prepared


MOMENT = MomentField()


def adapted(using: str, moment: datetime | None) -> Any:
    """Return a moment as a statement of ours gives it to the driver of a database."""
    return MOMENT.get_db_prep_value(moment, connections[using])


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
