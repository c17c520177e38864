"""What a page of the admin shows, as text, and how its forms are filled in."""

import re
from html import unescape

from django.contrib.admin.models import LogEntry
from django.urls import reverse

TASKS = "/admin/sisy/task/"
RUNS = "/admin/sisy/run/"
QUEUES = "/admin/sisy/queue/"


def text_of(response) -> str:
    """Return the words of a page, without its tags."""
    assert response.status_code == 200, response
    text = re.sub(r"<(script|style).*?</\1>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def rows_of(response) -> list[str]:
    """Return the words of each row of a list."""
    page = response.content.decode()
    table = page.partition('id="result_list"')[2].partition("</table>")[0]
    rows = re.findall(r"<tr>.*?</tr>", table.partition("<tbody>")[2], flags=re.DOTALL)
    return [" ".join(unescape(re.sub(r"<[^>]+>", " ", row)).split()) for row in rows]


def page_of(row) -> str:
    """Return the address of a task's or a run's page."""
    return reverse(f"admin:sisy_{row._meta.model_name}_change", args=[row.pk])


def messages_of(response) -> list[str]:
    """Return what the page says about what was done."""
    return [str(message) for message in response.context["messages"]]


def form_of(response) -> dict[str, str]:
    """Return the fields of the form on a page with what they hold, to be posted back."""
    form = response.context["adminform"].form
    data = {}
    for field in form:
        value = field.value()
        widget = field.field.widget
        if hasattr(widget, "decompress"):
            parts = widget.decompress(value)
            names = [f"{field.html_name}_{number}" for number in range(len(parts))]
            data |= dict(zip(names, parts, strict=True))
        else:
            data[field.html_name] = value
    return {
        name: value for name, value in data.items() if value is not None and value is not False
    }


def errors_of(response) -> dict[str, list[str]]:
    """Return the messages at each field of a form that was refused."""
    assert response.status_code == 200, response
    form = response.context["adminform"].form
    return {name: list(messages) for name, messages in form.errors.items()}


def history_of(row) -> list[str]:
    """Return the messages in the admin's history of a row, oldest first."""
    entries = LogEntry.objects.filter(object_id=str(row.pk)).order_by("pk")
    return [entry.get_change_message() for entry in entries]
