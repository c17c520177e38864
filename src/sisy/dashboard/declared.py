"""The texts about declared tasks."""

from django.utils.translation import gettext

from sisy.models import Task
from sisy.models.declared import USERDATA_COLUMN, Override
from sisy.records.task_fields import SECRET_FIELDS
from sisy.reports import field_text, formatting


def in_words(task: Task) -> str:
    """Return the source of a task that is or was declared; empty if it never was."""
    if task.is_declared:
        return gettext("declared in code under the name %s") % task.name
    if task.undeclared_at is not None:
        return gettext("removed from the code, noticed at %s") % formatting.short(
            task.undeclared_at
        )
    if task.name is not None:
        return gettext("created by a migration under the name %s") % task.name
    return ""


def overrides_in_words(task: Task) -> list[str]:
    """Return a line for each field that was changed by hand, without user data and secrets."""
    return [_in_words(one) for one in task.overrides()]


def _in_words(one: Override) -> str:
    name = field_text.name_of(one.field)
    if one.field == USERDATA_COLUMN or one.field in SECRET_FIELDS:
        return gettext("%s: changed") % name
    own, code = (field_text.value_of(one.field, each) for each in (one.own, one.code))
    words = {"field": name, "own": own, "code": code}
    return gettext("%(field)s: %(own)s instead of %(code)s") % words
