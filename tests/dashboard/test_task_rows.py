"""Similar tasks share a row on the overview and in the list, unless they have problems."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Run, RunState, Task
from sisy.records.problems import Kind
from sisy.reports import grid
from sisy.reports import tasks as tasks_report
from sisy.reports.task_groups import prefix_of, with_group
from sisy.reports.task_rows import MIN_SIMILAR, rows_by, similar_together
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.moments import DAY, HOUR, NOON, SECOND
from tests.support.records import open_alert, scheduled
from tests.support.statements import without_steps

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

WELL, FAILED, MISSED = RunState.SUCCEEDED, RunState.FAILED, RunState.MISSED


def invoices(number=MIN_SIMILAR + 1, **fields):
    """Return similar tasks: "invoices: 0", "invoices: 1" and so on."""
    given = {"schedule": "0 0 * * *", **fields}
    return [scheduled(label=f"invoices: {n}", **given) for n in range(number)]


def ended(task, state=WELL, due=NOON - 3 * DAY):
    times = {"started_at": due, "finished_at": due + SECOND, "due_at": due}
    run = task.new_run(now=due, state=state, attempt=1, **times)
    run.save()
    return run


def rows():
    shown = grid.grid(grid.read_news("default", NOON), NOON, in_full=False)
    return {each.row.label: each for each in shown.rows}


def page_of(part, address="/sisy/"):
    return browser_of("view_task").get(f"{address}?parts={part}")


def test_similar_tasks_share_a_row_that_leads_to_their_list():
    invoices()
    scheduled(label="sweep")
    assert list(rows()) == ["invoices", "sweep"]
    page = page_of("grid").content.decode()
    link = 'href="/sisy/tasks/?group=prefix&amp;only=invoices">invoices <small>6 tasks</small>'
    assert link in page
    browser = browser_of("view_task")
    listed = browser.get("/sisy/tasks/?group=prefix&only=invoices").content.decode()
    assert len(re.findall(r'class="label"><a', listed)) == 6


@pytest.mark.parametrize("trouble", ["alert", "failure", "missing function"])
def test_a_task_with_a_problem_has_a_row_of_its_own(trouble):
    [first, *_] = invoices()
    if trouble == "alert":
        open_alert(first, Kind.MISSED, NOON)
    elif trouble == "failure":
        ended(first, FAILED, NOON - HOUR)
    else:
        Task._base_manager.filter(pk=first.pk).update(target_error="It is gone.")
    assert [(label, len(each.row.tasks)) for label, each in rows().items()] == [
        ("invoices", 5),
        ("invoices: 0", 1),
    ]


def test_a_failure_of_long_ago_is_no_problem():
    [first, *_] = invoices()
    ended(first, FAILED, NOON - 2 * DAY)
    assert list(rows()) == ["invoices"]


def test_few_or_different_tasks_have_a_row_each():
    tasks = invoices(MIN_SIMILAR - 1)
    tasks.append(scheduled("5 0 * * *", label="invoices: later"))
    tasks += [scheduled("0 0 * * *") for _ in range(MIN_SIMILAR)]  # labelled with their function
    tasks += [scheduled("0 0 * * *", label=f"plain {n}") for n in range(MIN_SIMILAR)]
    found = similar_together(tasks, ())
    assert [row.task for row in found] == tasks


def test_a_shared_square_shows_the_most_severe_state_of_its_moment():
    one, other, *_ = invoices()
    for days, states in ((2, (WELL, MISSED)), (3, (FAILED, WELL)), (4, (WELL, WELL))):
        for task, state in zip((one, other), states, strict=True):
            ended(task, state, NOON - days * DAY)
    latest = rows()["invoices"].latest
    assert [square.state for square in latest.squares] == [MISSED, FAILED, WELL]
    assert latest.squares[0].run == Run.objects.get(state=MISSED).pk
    assert latest.squares[1].words.startswith("1 succeeded, 1 failed · ")
    assert (latest.succeeded, latest.ended) == (4, 5)


def test_the_timeline_draws_similar_tasks_in_one_row():
    for task in invoices(schedule="0 * * * *"):
        ended(task, due=NOON - HOUR)
    page = page_of("timeline").content.decode()
    assert "?group=prefix&amp;only=invoices" in page
    assert len(re.findall(r'id="track-', page)) == 1
    assert "6 runs · succeeded" in page
    assert page.count('class="forecast"') == 6 + 1  # until 18:00, and in the legend


def test_the_statements_of_the_overview_do_not_grow_with_similar_tasks():
    def statements():
        with CaptureQueriesContext(connection) as seen:
            page_of("grid,timeline")
        return len(without_steps(seen))

    for task in invoices():
        ended(task, due=NOON - HOUR)
    statements()  # the first request also reads what is cached
    before = statements()
    for n in range(40):
        ended(scheduled("0 0 * * *", label=f"invoices: more {n}"), due=NOON - HOUR)
    assert statements() == before


def test_of_too_many_tasks_a_row_says_that_there_are_more(monkeypatch):
    monkeypatch.setattr(grid, "MAX_TASKS_READ", 8)
    [first, *_] = invoices(20)
    open_alert(first, Kind.MISSED, NOON)
    latest = scheduled(label="sweep")
    ended(latest)
    assert [(row.label, row.counted) for row in (each.row for each in rows().values())] == [
        ("invoices", "6+ tasks"),
        ("invoices: 0", "1 task"),
        ("sweep", "1 task"),
    ]
    text = text_of(page_of("grid"))
    assert "8 tasks with problems or the newest runs, sorted by label" in text


@pytest.mark.parametrize(
    "label", ["a: b", "a.b/c", "a-b", ": a", "plain", " a : b", "a / b: c", "é: b", "", " - x"]
)
def test_the_prefix_of_a_label_is_the_same_in_the_database(label):
    task = scheduled(label="x")
    Task._base_manager.filter(pk=task.pk).update(label=label)
    [found] = with_group(Task.objects.all(), "prefix")
    assert prefix_of(label) == found.group_key


def test_tasks_of_a_queue_share_a_row():
    tasks = [scheduled(label=label, queue=queue) for label, queue in ("ax", "by", "cx")]
    found = rows_by(tasks, "queue", "queue")
    assert [(row.label, len(row.tasks), row.query) for row in found] == [
        ("x", 2, "queue=x"),
        ("b", 1, ""),
    ]


def listed(query=""):
    """Return the texts of the links in the list of tasks, and where the next page is."""
    page = browser_of("view_task").get(f"/sisy/tasks/?{query}").content.decode()
    found = re.findall(r'class="label"><a href="[^"]*">(.*?)</a>', page)
    following = re.search(r'<a href="([^"]*)" rel="next"', page)
    return found, following[1].replace("&amp;", "&") if following else ""


def test_similar_tasks_share_a_row_of_the_list():
    first, *_ = invoices()
    ended(first)
    scheduled(label="sweep")
    assert listed()[0] == ["invoices <small>6 tasks</small>", "sweep"]
    text = text_of(browser_of("view_task").get("/sisy/tasks/"))
    assert "invoices 6 tasks ● active 0 0 * * * At 00:00 2026-05-06 00:00:00" in text
    open_alert(first, Kind.MISSED, NOON)
    assert listed()[0] == ["invoices: 0", "invoices <small>5 tasks</small>", "sweep"]


def test_a_shared_row_has_no_words_for_schedules_that_differ_in_their_minutes():
    invoices(schedule="h 0 * * *")
    text = text_of(browser_of("view_task").get("/sisy/tasks/"))
    assert "invoices 6 tasks ● active h 0 * * * 2026-05-06 00:" in text


@pytest.mark.parametrize("query", ["group=none", "sort=next_run", "search=inv", "state=active"])
def test_a_filtered_or_sorted_list_has_a_row_for_each_task(query):
    tasks = invoices()
    assert listed(query)[0] == [task.label for task in tasks]


def test_a_page_of_the_list_has_room_for_other_tasks_than_similar_ones(monkeypatch):
    monkeypatch.setattr(tasks_report, "PAGE_LIMIT", 3)
    invoices(9)
    others = [scheduled(label=f"other {n}") for n in range(4)]
    found, following = listed()
    assert found == ["invoices <small>9+ tasks</small>", *(task.label for task in others[:2])]
    assert listed(following.removeprefix("?")) == ([task.label for task in others[2:]], "")


def test_each_similar_task_is_on_one_page(monkeypatch):
    monkeypatch.setattr(tasks_report, "PAGE_LIMIT", 3)
    monkeypatch.setattr(tasks_report, "MAX_TASKS_READ", 7)
    invoices(10)
    first, following = listed()
    assert first == ["invoices <small>7+ tasks</small>"]
    assert listed(following.removeprefix("?"))[0] == ["invoices: 7", "invoices: 8", "invoices: 9"]


def test_the_statements_of_the_list_do_not_grow_with_similar_tasks():
    def statements():
        with CaptureQueriesContext(connection) as seen:
            listed()
        return len(without_steps(seen))

    for task in invoices():
        ended(task)
    statements()  # the first request also reads what is cached
    before = statements()
    for n in range(40):
        ended(scheduled("0 0 * * *", label=f"invoices: more {n}"))
    assert statements() <= before
