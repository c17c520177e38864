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
from sisy.runtime.compat import RelatedOrNone
from sisy.runtime.escaping import escaped, escaped_json
from sisy.schedules import calendar

if TYPE_CHECKING:
    CharField = models.CharField[str, str]
else:
    CharField = models.CharField


class MomentField(models.DateTimeField):  # type: ignore[type-arg]
    """A moment: an aware UTC datetime in Python, and UTC in the database."""

    # Django's field stores local time if USE_TZ is off, or if the database has a TIME_ZONE (except
    # on PostgreSQL). Local time is ambiguous in the hour that is repeated in autumn.

    # Django's method is for auto_now, which this field does not have. Because of it,
    # `update_or_create` would add each moment to ``update_fields``.
    pre_save = models.Field.pre_save

    def from_db_value(
        self, value: datetime | None, expression: Any, connection: BaseDatabaseWrapper
    ) -> datetime | None:
        if value is None or value.tzinfo is UTC:  # as nearly always
            return value
        if value.tzinfo and connection.vendor == "postgresql":
            return value.astimezone(UTC)
        # The stored value is UTC, whatever time zone Django has attached to it.
        return value.replace(tzinfo=UTC)

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        # The outer query of a subquery would convert the value a second time.
        is_inner = compiler.query.subquery
        if not (settings.USE_TZ or is_inner) and compiler.connection.vendor == "postgresql":
            # Without it, the driver returns the local time of the session, without its zone.
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
                f"'{moment.isoformat()}' is not a valid date. Use a year from {calendar.YEARS}, "
                "or leave the field empty."
            )
        return moment.astimezone(UTC)

    def get_prep_value(self, value: Any) -> Any:
        # Not DateTimeField's method, which expects USE_TZ.
        return self.to_python(models.Field.get_prep_value(self, value))

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        moment = value if prepared else self.get_prep_value(value)
        if moment is None or hasattr(moment, "resolve_expression"):
            return moment
        if connection.vendor != "postgresql":
            # Django would convert an aware datetime to local time.
            moment = moment.replace(tzinfo=None)
        return connection.ops.adapt_datetimefield_value(moment)

    def value_from_object(self, obj: models.Model) -> Any:
        moment = super().value_from_object(obj)
        if moment is not None and not settings.USE_TZ and timezone.is_aware(moment):
            return timezone.make_naive(moment, timezone.get_default_timezone())
        return moment


class ReasonField(CharField):
    """One line of text that is safe to show anywhere, cut to the length of the column."""

    # It may quote a person or an error. Characters that control terminals are stored as escapes.

    def get_prep_value(self, value: Any) -> Any:
        prepared = super().get_prep_value(value)
        return escaped(prepared)[: self.max_length] if isinstance(prepared, str) else prepared


if TYPE_CHECKING:
    KeptForeignKey = models.ForeignKey
else:

    class KeptForeignKey(models.ForeignKey):
        """A foreign key that keeps its value when the row that it refers to is deleted.

        The attribute is then None. Use it with ``null=True``, even if a key is always set:
        otherwise, Django's joins would leave out rows whose counterpart was deleted.
        """

        forward_related_accessor_class = RelatedOrNone


MOMENT = MomentField()


def adapted(using: str, moment: datetime | None) -> Any:
    """Return a moment as a parameter of a hand-written statement."""
    return MOMENT.get_db_prep_value(moment, connections[using])


def moment_of(value: datetime | str) -> datetime:
    """Return a moment that the database returned: UTC without a zone, and text on SQLite."""
    return datetime.fromisoformat(str(value)).replace(tzinfo=UTC)


TOO_DEEP = _("Must be nested at most %d levels deep.")


class DataFormField(forms.JSONField):
    """A form field that shows JSON of any depth, and rejects JSON that is nested too deeply."""

    def to_python(self, value: Any) -> Any:
        try:
            found = super().to_python(value)
        except RecursionError:
            raise ValidationError(TOO_DEEP % nested.MAX_DEPTH) from None
        except ValueError:  # Python reads no number of more than 4300 digits
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None
        if nested.is_too_deep(found):
            raise ValidationError(TOO_DEEP % nested.MAX_DEPTH)
        return found

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
        return escaped_json(nested.written(value, on_lines=False))


class DataField(models.JSONField):
    """JSON of any depth, even if other software has stored it."""

    # Django reads and writes JSON recursively. One row that is nested too deeply would make every
    # list that contains it fail.

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        if value == "{}":  # as very often
            return {}
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
