"""The form of a task, which shows each error next to its field."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import available_timezones

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.db import router
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext_lazy as _

from sisy import conf
from sisy.addresses import masked_address
from sisy.callables import kind_at
from sisy.exceptions import CallableError
from sisy.models import Task
from sisy.records.task_field import Section
from sisy.records.task_fields import OWNER_FIELDS, SECRET_FIELDS, TASK_FIELDS

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Task]
else:
    ModelForm = forms.ModelForm

DURATION = _("Hours, minutes and seconds, such as 00:01:30.")

PREVIEW = "occurrences"
STATUS = ("state_now", "full_reason", "next_moment", "last_moment")
SEEN_ONLY = (PREVIEW, *STATUS)

TITLES = {
    Section.TARGET: None,
    Section.WHEN: _("Schedule"),
    Section.WORKERS: _("Workers"),
    Section.TROUBLE: _("Missed, overlapping and slow runs"),
    Section.FAILURE: _("Failures"),
    Section.ALERTS: _("Alerts"),
    Section.HISTORY: _("History"),
    Section.STATUS: _("Status"),
}
UNFOLDED = (Section.TARGET, Section.WHEN, Section.STATUS)


def _fieldset(section: Section) -> tuple[Any, Any]:
    names = [name for name, field in TASK_FIELDS.items() if field.section is section]
    if section is Section.WHEN:
        names.insert(names.index("schedule") + 1, PREVIEW)
    if section is Section.STATUS:
        names = [*STATUS]
    folded = {} if section in UNFOLDED else {"classes": ("collapse",)}
    return TITLES[section], {"fields": tuple(names), **folded}


FIELDSETS = tuple(map(_fieldset, Section))


class Suggestions(AdminTextInputWidget):
    """A text field with suggestions, which also accepts other texts."""

    def __init__(
        self, suggestions: Callable[[], Iterable[str]], attrs: dict[str, Any] | None = None
    ) -> None:
        super().__init__(attrs)
        self.suggestions = suggestions

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        list_id = f"{name}-suggestions"
        field = super().render(name, value, {**(attrs or {}), "list": list_id}, renderer)
        values = ((value,) for value in sorted(self.suggestions()))
        options = format_html_join("", '<option value="{}">', values)
        return format_html('{}<datalist id="{}">{}</datalist>', field, list_id, options)


class TaskForm(ModelForm):
    """The fields of a task that people may set.

    Attributes:
        may_use_any: whether the user may enter any path, and so run any code.
    """

    may_use_any: ClassVar[bool] = False

    class Meta:
        model = Task
        fields: ClassVar[list[str]] = sorted(OWNER_FIELDS)
        widgets: ClassVar[dict[str, Any]] = {
            "_extra_data": forms.Textarea({"rows": 3, "cols": 60}),
            "timezone": Suggestions(available_timezones),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Users who may only view the task get a form without fields.
        if "target_path" in self.fields:
            self.fields["target_path"] = self._target_field()
        for name in SECRET_FIELDS & self.fields.keys():
            if stored := getattr(self.instance, name):
                self.initial[name] = masked_address(stored)
        for field in self.fields.values():
            if isinstance(field, forms.DurationField):
                field.help_text = format_lazy("{} {}", field.help_text, DURATION)

    def _target_field(self) -> forms.Field:
        stored = {self.instance.target_path} - {""}
        known = stored | known_targets()
        label = capfirst(Task._meta.get_field("target_path").verbose_name)
        if self.may_use_any:
            return forms.CharField(
                label=label,
                help_text=_("The dotted path of the function, such as shop.jobs.greet."),
                widget=Suggestions(lambda: known, {"class": "vLargeTextField"}),
            )
        return forms.ChoiceField(
            label=label,
            choices=[("", "---------"), *((path, path) for path in sorted(known))],
            help_text=_(
                "To offer more functions, add them to SISY_CALLABLES or schedule them in code."
            ),
        )

    def add_error(self, field: str | None, error: Any) -> None:
        """Add errors, at most one per field."""
        if isinstance(error, ValidationError) and hasattr(error, "error_dict"):
            news = {at: said for at, said in error.error_dict.items() if at not in self.errors}
            if not news:
                return
            error = ValidationError(news)
        super().add_error(field, error)

    def clean_ping(self) -> str:
        """Keep the stored address if the form was sent back with the masked one."""
        given, stored = str(self.cleaned_data["ping"]), str(self.instance.ping)
        return stored if stored and given == masked_address(stored) else given

    def clean_note(self) -> str:
        """Store the line breaks that code would use."""
        return "\n".join(str(self.cleaned_data["note"]).splitlines())

    def clean__extra_data(self) -> dict[str, Any]:
        """Read an empty field as empty user data."""
        data = self.cleaned_data["_extra_data"]
        return {} if data is None else data


def known_targets() -> set[str]:
    """Return the paths that users may choose: those in ``SISY_CALLABLES`` and those of tasks.

    Paths that can no longer be called are not included.
    """
    tasks = Task.objects.using(router.db_for_write(Task))
    stored = tasks.order_by().values_list("target_path", flat=True).distinct()
    return set(filter(_can_be_called, {*conf.get_settings().callables, *stored}))


def _can_be_called(path: str) -> bool:
    try:
        kind_at(path)
    except CallableError:
        return False
    return True
