"""The grid and the figures of the overview, which read a bounded part of the ledger."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.lifecycle.miss import missed_row
from sisy.models import Alert, Process, Role, Run, RunState, Task
from sisy.records.problems import Kind
from sisy.reports import figures as days
from sisy.reports import grid as page
from sisy.reports import squares
from sisy.reports.formatting import percent
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

WELL, FAILED = RunState.SUCCEEDED, RunState.FAILED


def ended(task, *states, since=NOON - HOUR, took=SECOND, late=SECOND):
    """Let runs of a task end in some states, a minute apart."""
    runs = []
    for n, state in enumerate(states):
        due = since + n * MINUTE
        runs.append(
            task.new_run(
                now=due,
                ready_at=due,
                state=state,
                attempt=1,
                started_at=due + late,
                finished_at=due + late + took,
            )
        )
    return Run.objects.bulk_create(runs)


def rows():
    return [
        (each.row.label, [square.state for square in each.latest.squares])
        for each in page.grid(page.read_news("default", NOON), NOON, in_full=False).rows
    ]


def test_each_task_has_a_row_with_its_newest_runs_first(monkeypatch):
    monkeypatch.setattr(squares, "MAX_SQUARES", 3)
    ended(scheduled(label="sweep"), FAILED, FAILED, WELL, FAILED, WELL)
    scheduled(label="Idle")
    assert rows() == [("Idle", []), ("sweep", [WELL, FAILED, WELL])]


def test_missed_occurrences_are_among_the_runs_of_their_time():
    task = scheduled(label="sweep")
    ended(task, WELL, since=NOON - 3 * HOUR)
    ended(task, WELL, FAILED, since=NOON - HOUR)
    missed_row(task, NOON - 2 * HOUR, NOON - 2 * HOUR, 1, "Nothing was up.", NOON).save()
    assert rows() == [("sweep", [FAILED, WELL, RunState.MISSED, WELL])]
    [row] = page.grid(page.read_news("default", NOON), NOON, in_full=False).rows
    assert row.latest.newest.state == FAILED
    browser = browser_of("view_task", "view_run")
    for address in (f"/sisy/tasks/{task.pk}/?parts=ledger", f"/sisy/runs/?task={task.pk}"):
        moments = re.findall(
            r"<td[^>]*>\s*(?:<[^>]*>)*(\d\d:\d\d):\d\d", browser.get(address).content.decode()
        )
        assert moments == ["11:01", "11:00", "10:00", "09:00"], address


def test_rows_keep_their_order_when_other_tasks_run():
    tasks = [scheduled(label=label) for label in "bca"]
    before = [label for label, _ in rows()]
    ended(tasks[1], FAILED)
    assert [label for label, _ in rows()] == before == ["a", "b", "c"]


def test_too_many_tasks_show_those_with_problems_and_the_newest_runs(monkeypatch):
    monkeypatch.setattr(page, "MAX_ROWS", 3)
    tasks = [scheduled(label=f"task {n}") for n in range(8)]
    ended(tasks[5], WELL)
    ended(tasks[6], FAILED, WELL)
    Alert.objects.create(
        open_key="1",
        kind=Kind.SILENT,
        subject="x",
        task_id=tasks[7].pk,
        since=NOON,
        opened_at=NOON,
    )
    shown = page.grid(page.read_news("default", NOON), NOON, in_full=False)
    assert [each.row.task for each in shown.rows] == tasks[5:]
    assert not shown.is_all
    text = text_of(browser_of("view_task").get("/sisy/?parts=grid"))
    assert "3 tasks with problems or the newest runs, sorted by label" in text


def test_tasks_that_are_deleted_or_paused_have_no_row(monkeypatch):
    monkeypatch.setattr(page, "MAX_ROWS", 1)
    gone, paused, other = (scheduled(label=label) for label in ("gone", "paused", "other"))
    scheduled(label="later")
    ended(gone, FAILED)
    ended(paused, FAILED)
    gone.delete()
    paused.pause()
    assert [label for label, _ in rows()] == [other.label]


def test_a_square_says_what_it_is_and_hides_the_text_of_errors():
    [run] = ended(scheduled(label="sweep"), FAILED)
    Run.objects.update(reason="KeyError: 'secret'", error_class="builtins.KeyError")
    markup = browser_of("view_task").get("/sisy/?parts=grid").content.decode()
    [square] = re.findall(rf'<a href="/sisy/runs/{run.pk}/".*?>', markup)
    assert 'class="failed"' in square
    assert 'title="failed · 11:00:00 · 1 s' in square
    assert "KeyError" in square
    assert "secret" not in markup


def test_a_square_takes_little_markup():
    task = scheduled(label="sweep")
    ended(task, *[WELL] * 40)
    markup = browser_of("view_task").get("/sisy/?parts=grid").content.decode()
    found = re.findall(r"<a [^>]*tabindex=-1.*?</a>", markup)
    assert len(found) == 40
    assert all(len(square) <= 90 for square in found), found[0]


def test_the_queries_of_the_grid_do_not_grow(django_assert_max_num_queries):
    for n in range(40):
        ended(scheduled(label=f"task {n}"), WELL, FAILED)
    with django_assert_max_num_queries(8):
        assert len(rows()) == page.MAX_ROWS


def test_a_day_is_compared_with_the_day_and_the_week_before():
    task = scheduled("0 0 1 1 *", label="sweep")
    for ago, took in ((7 * DAY, SECOND), (DAY, 2 * SECOND), (0 * DAY, 4 * SECOND)):
        ended(task, *[WELL] * 3, FAILED, since=NOON - HOUR - ago, took=took)
    today, before, week = days.figures("default", NOON)
    assert [day.usual.total_seconds() for day in (today, before, week)] == [4, 2, 1]
    assert (today.success, today.failed, today.late) == (75, 1, SECOND)
    text = text_of(browser_of("view_task").get("/sisy/?parts=figures"))
    assert "Success rate 75 % day before: 75 % week before: 75 %" in text
    assert "Duration, median 4 s day before: 2 s week before: 1 s" in text


def test_failures_are_counted_even_if_the_sample_has_none(monkeypatch):
    monkeypatch.setattr(days, "MAX_RUNS_SAMPLED", 10)
    task = scheduled("0 0 1 1 *")
    ended(task, *[WELL] * 5, FAILED, *[WELL] * 94, since=NOON - 3 * HOUR)
    today, *_ = days.figures("default", NOON)
    assert (today.is_sampled, today.failed) == (True, 1)
    assert today.success == pytest.approx(99, abs=0.2)


def test_a_day_without_runs_has_no_figures():
    scheduled()
    assert days.figures("default", NOON) == [None, None, None]
    assert "Success rate - " in text_of(browser_of("view_task").get("/sisy/?parts=figures"))


@pytest.mark.parametrize(("value", "text"), [(100, "100 %"), (99.99, "99.9 %"), (0, "0 %")])
def test_only_a_hundred_percent_is_shown_as_such(value, text):
    assert percent(value) == text


def test_a_new_site_shows_the_first_steps_instead_of_empty_frames():
    browser = browser_of("view_task")
    text = text_of(browser.get("/sisy/"))
    assert "Start here" in text
    assert "python manage.py sisy" in text
    assert all(words not in text for words in ("No runs yet", "Success rate", "Heartbeats"))
    scheduled(label="sweep")
    text = text_of(browser.get("/sisy/"))
    assert "Start here" not in text
    assert "No runs yet" in text


def test_cards_of_processes_are_shown_only_if_one_is_wrong(monkeypatch):
    monkeypatch.setattr("sisy.reports.fleet.CLOCK_TOLERANCE", 9999 * DAY)  # time stands still here
    scheduled()
    browser = browser_of("view_task")
    for role in (Role.HEARTBEAT, Role.WORKER):
        assert "Heartbeats" in text_of(browser.get("/sisy/?parts=status"))
        Process.join(role, using="default", now=NOON, lease=HOUR, queues=("default",))
    assert "Heartbeats" not in text_of(browser.get("/sisy/?parts=status"))
    assert Task.objects.count() == 1


def test_all_rows_are_used_if_few_tasks_have_run(monkeypatch):
    monkeypatch.setattr(page, "MAX_ROWS", 4)
    tasks = [scheduled(label=f"task {n}") for n in range(6)]
    ended(tasks[1], WELL)
    ended(tasks[5], WELL)
    assert [label for label, _ in rows()] == ["task 0", "task 1", "task 2", "task 5"]


def test_the_grid_and_the_timeline_read_the_newest_runs_once():
    for n in range(3):
        ended(scheduled(label=f"task {n}"), WELL, FAILED)
    browser = browser_of("view_task")
    with CaptureQueriesContext(connection) as seen:
        browser.get("/sisy/?parts=grid,timeline")
        statements = [each["sql"] for each in seen]
    drawn = [sql for sql in statements if "due_until" in sql and "sisy_run" in sql]
    assert len(drawn) == 1, "\n".join(drawn)
