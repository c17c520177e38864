"""The note of a task: shown as Markdown, never as code, and edited by those who may."""

import pytest
from django.urls import reverse

from sisy.dashboard.notes import rendered
from sisy.models import Task, TaskChange
from sisy.reports.notes import first_line
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.commands.calling import said
from tests.support.moments import NOON
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

NOTE = "**Call Ann** first.\n\n- retry [once](https://wiki.example.com/retry)\n- else `stop`"


def saved(task, note, *permissions):
    browser = browser_of("view_task", *permissions)
    given = {"pk": task.pk, "note": note, "next": f"/sisy/tasks/{task.pk}/"}
    return browser.post("/sisy/tasks/do/note/", given, follow=True)


def test_the_page_of_a_task_shows_its_note_as_markdown():
    task = scheduled(label="report", note=NOTE)
    page = browser_of("view_task").get(f"/sisy/tasks/{task.pk}/").content.decode()
    assert "<strong>Call Ann</strong> first." in page
    assert 'href="https://wiki.example.com/retry" rel="noopener noreferrer nofollow"' in page
    assert "<code>stop</code>" in page


def test_the_list_shows_the_first_line_of_a_note():
    scheduled(label="report", note=NOTE)
    page = browser_of("view_task").get("/sisy/tasks/").content.decode()
    assert 'title="Call Ann first."' in page


def test_an_alert_about_a_task_shows_the_first_line_of_its_note():
    task = scheduled(label="report", note=NOTE)
    open_alert(task, "failing", NOON, why="The latest run failed.")
    note = "Note: Call Ann first. Read all"
    assert note in text_of(browser_of("view_task").get("/sisy/"))
    assert note not in text_of(browser_of("view_task").get(f"/sisy/tasks/{task.pk}/"))
    Task.objects.update(note="")
    assert "Note:" not in text_of(browser_of("view_task").get("/sisy/"))


@pytest.mark.parametrize(
    "note",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![tracked](https://evil.example/pixel.png)",
        "[click](javascript:alert(1))",
        "[click](JaVaScRiPt:alert(1))",
        "[click](data:text/html,<script>alert(1)</script>)",
        "[click](vbscript:x)",
        "[click](//evil.example)",
        "[click](&#106;avascript:alert(1))",
        "<javascript:alert(1)>",
        "[a]: javascript:alert(1)\n\n[a]",
        '[x](https://a.example/"onmouseover="alert(1))',
        "[x](https://a.example 'a\" onclick=\"alert(1)')",
        '```x" onclick="alert(1)\n<b>\n```',
        "<style>*{display:none}</style>",
        "<!-- <b> -->",
    ],
)
def test_a_note_contains_no_code_and_no_images(note):
    from html.parser import HTMLParser

    tags = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            tags.append((tag, dict(attributes)))

        def handle_comment(self, text):
            tags.append(("comment", {}))

    Reader().feed(rendered(note))
    assert {tag for tag, _ in tags} <= {"p", "a", "pre", "code", "br"}
    for _, attributes in tags:
        assert attributes.keys() <= {"href", "rel", "title", "class"}
        assert attributes.get("href", "https://").startswith("https://")


def test_a_heading_in_a_note_does_not_change_the_outline_of_the_page():
    assert rendered("# Runbook") == "<p><strong>Runbook</strong></p>\n"


@pytest.mark.parametrize("note", ["[" * 4000, "> " * 2000, "*a" * 2000, "`" * 4000, "[a](" * 1000])
def test_an_odd_note_is_rendered_in_time(note):
    assert len(rendered(note)) < 100_000


@pytest.mark.parametrize(
    ("note", "title"),
    [("", ""), ("\n\n# Run `x`\nmore", "Run x"), ("a" * 500, "a" * 120)],
)
def test_the_first_line_of_a_note_is_plain_text(note, title):
    assert first_line(note) == title


def test_people_who_may_change_a_task_edit_its_note():
    task = scheduled(label="report")
    page = saved(task, " Call Ann.\r\nThen retry. ", "change_task")
    assert "Saved the note of 1 task." in text_of(page)
    assert Task.objects.get().note == "Call Ann.\nThen retry."
    assert list(TaskChange.objects.get().fields) == ["note"]
    assert "Nothing to change" in text_of(saved(task, "Call Ann.\nThen retry.", "change_task"))


def test_others_may_only_read_it():
    task = scheduled(note="Call Ann.")
    assert saved(task, "mine").status_code == 403
    assert Task.objects.get().note == "Call Ann."
    page = browser_of("view_task").get(f"/sisy/tasks/{task.pk}/").content.decode()
    assert "do/note/" not in page


@pytest.mark.parametrize("note", ["x" * 4001, "a\x1b[31m"])
def test_an_invalid_note_is_rejected_with_the_reason(note):
    task = scheduled(label="report", note="Call Ann.")
    assert "note must" in text_of(saved(task, note, "change_task"))
    assert Task.objects.get().note == "Call Ann."


def test_the_admins_form_edits_the_note():
    task = scheduled(note="Call Ann.")
    browser, address = browser_of_superuser(), reverse("admin:sisy_task_change", args=[task.pk])
    form = browser.get(address).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    values = {name: "" if value is None else value for name, value in values.items()}
    given = values | {"note": "Call Bo.\r\nOr Cy.", "_extra_data": "{}"}
    answer = browser.post(address, given)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert Task.objects.get().note == "Call Bo.\nOr Cy."


def test_a_command_shows_the_lines_of_the_note():
    scheduled(label="report", note="Call Ann.\n\nThen retry.")
    lines = [line.strip() for line in said("sisy_tasks show report").splitlines()]
    begin = next(n for n, line in enumerate(lines) if line.endswith("Call Ann."))
    assert lines[begin].split() == ["note", "Call", "Ann."]
    assert lines[begin + 1 : begin + 3] == ["", "Then retry."]
