"""The texts about declared tasks."""

from django.db.models import DurationField
from django.utils.dateparse import parse_duration
from django.utils.translation import gettext

from sisy.models import Task
from sisy.models.declared import USERDATA_COLUMN, Override
from sisy.records.task_fields import SECRET_FIELDS
from sisy.reports import formatting

EMPTY = "—"


def in_words(task: Task) -> str:
    """Return the source of a task that is or was declared; empty if it never was."""
    if task.is_declared:
        return gettext("declared in code under the name %s") % task.name
    if task.undeclared_at is not None:
        return gettext("not declared in code since %s") % formatting.short(task.undeclared_at)
    if task.name is not None:
        return gettext("created by a migration under the name %s") % task.name
    return ""


def overrides_in_words(task: Task) -> list[str]:
    """Return a line for each field that was changed by hand, without user data and secrets."""
    return [_in_words(task, one) for one in task.overrides()]


def _in_words(task: Task, one: Override) -> str:
    name = str(getattr(task._meta.get_field(one.field), "verbose_name", one.field))
    if one.field == USERDATA_COLUMN or one.field in SECRET_FIELDS:
        return gettext("%s: changed") % name
    is_span = isinstance(task._meta.get_field(one.field), DurationField)
    own, code = (_shown(each, is_span=is_span) for each in (one.own, one.code))
    words = {"field": name, "own": own, "code": code}
    return gettext("%(field)s: %(own)s instead of %(code)s") % words


def _shown(value: object, *, is_span: bool) -> str:
    if value in (None, ""):
        return EMPTY
    span = parse_duration(str(value)) if is_span else None
    return str(value) if span is None else formatting.span(span)
