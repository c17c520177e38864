"""Of tasks with more runs than the timeline can draw one by one, it hides no trouble."""

import re
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Run, RunState
from sisy.reports.task_rows import row_of
from sisy.reports.timeline import Window, counting, queued, timeline
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled
from tests.support.statements import without_steps

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

AROUND = Window.around(NOON, 2 * DAY)


def store(task, begin, number, apart, state_of=lambda n: RunState.SUCCEEDED, by_hand=False):
    """Store runs of a task that were due one after the other; return them."""
    runs = []
    for n in range(number):
        due = begin + n * apart
        state = state_of(n)
        is_queued = state == RunState.QUEUED
        runs.append(
            task.new_run(
                now=due,
                due_at=None if by_hand else due,
                state=state,
                started_at=None if is_queued else due + SECOND / 10,
                finished_at=None if is_queued else due + SECOND,
            )
        )
    return Run.objects.bulk_create(runs)


def track_of(*tasks, window=AROUND):
    [track, *_] = timeline("default", [row_of(task) for task in tasks], window, NOON, in_full=True)
    return track


def is_down(n):
    """Return the state of a run of a task that fails for two minutes of every six."""
    return RunState.FAILED if n % 6 < 2 else RunState.SUCCEEDED


def is_queued(n):
    return RunState.QUEUED


def page_of(hours=24):
    return browser_of("view_task", "view_run").get(f"/sisy/?parts=timeline&hours={hours}")


def test_queued_runs_that_are_too_many_are_not_a_gap():
    task = scheduled("*/10 * * * *", label="labels")
    store(task, NOON - 27 * HOUR, 162, 10 * MINUTE, is_queued)
    track = track_of(task)
    [band] = track.queued
    assert (band.x, band.number, band.is_all) == (0, 24, True)  # the newest 120 have a bar each
    assert band.x + band.width == pytest.approx(min(bar.x for bar in track.bars), abs=0.4)
    page = page_of()
    assert "many queued runs" in text_of(page)
    [address] = re.findall(r'<a href="([^"]*)"[^>]*><title>24 queued runs<', page.content.decode())
    assert unescape(address) == f"/sisy/runs/?state=queued&task={task.pk}"


def test_where_no_run_is_queued_nothing_is_painted():
    task = scheduled("*/10 * * * *", label="labels")
    for begin in (NOON - 23 * HOUR, NOON - 15 * HOUR):
        store(task, begin, 12, 10 * MINUTE, is_queued)
    store(task, NOON - 12 * HOUR, 120, MINUTE)
    first, second = track_of(task).queued
    assert (first.number, second.number) == (12, 12)
    end = AROUND.place(NOON - 23 * HOUR + 110 * MINUTE)
    assert first.x + first.width == pytest.approx(end, abs=0.01)
    assert second.x == AROUND.place(NOON - 15 * HOUR)


def test_of_too_many_queued_runs_the_oldest_is_where_the_band_begins(monkeypatch):
    monkeypatch.setattr(queued, "MAX_OF_EACH", 5)
    task = scheduled("*/10 * * * *", label="labels")
    store(task, NOON - 23 * HOUR, 138, 10 * MINUTE, is_queued)
    [band] = track_of(task).queued
    assert (band.x, band.words) == (AROUND.place(NOON - 23 * HOUR), "5+ queued runs")


def test_an_old_run_that_is_still_running_is_drawn():
    task = scheduled("* * * * *", label="busy", overlap="allow")
    [old] = store(task, NOON - 20 * HOUR, 1, MINUTE, lambda n: RunState.RUNNING)
    store(task, NOON - 10 * HOUR, 200, MINUTE)
    [bar] = [bar for bar in track_of(task).bars if bar.state == RunState.RUNNING]
    assert (bar.run, bar.x + bar.width) == (old.pk, 50.0)


def red_and_all(track):
    """Return how much of the area of bars is red, and how much there is."""
    parts = [(bar, part) for bar in track.bars for part in bar.slices]
    red = sum(bar.width * part.height for bar, part in parts if part.looks == "bad")
    return red, sum(bar.width * part.height for bar, part in parts)


@pytest.mark.parametrize("hours", [6, 12, 24])
@pytest.mark.parametrize("by_hand", [False, True])
def test_a_task_that_fails_every_third_time_does_not_look_red(hours, by_hand):
    task = scheduled("* * * * *", label="stock")
    store(task, NOON - 8 * HOUR, 480, MINUTE, is_down, by_hand)
    window = Window.around(NOON, 2 * hours * HOUR)
    track = track_of(task, window=window)
    red, everything = red_and_all(track)
    assert red <= 0.55 * everything
    failed = [run for run in Run.objects.filter(state="failed") if run.started_at >= window.start]
    assert sum(bar.failed for bar in track.bars) == len(failed)
    if hours == 24:
        assert 0.28 < red / everything < 0.4
        # Each run is in one bar.
        assert sum(bar.count for bar in track.bars) == pytest.approx(480, abs=1)


def test_a_column_leads_to_the_failed_runs_of_its_time():
    task = scheduled("* * * * *", label="stock")
    store(task, NOON - 8 * HOUR, 480, MINUTE, is_down)
    store(scheduled(label="other"), NOON - 8 * HOUR, 9, HOUR, lambda n: RunState.FAILED)
    found = re.findall(
        r'<a href="([^"]*)"[^>]*><title>(\d+) succeeded, (\d+) failed', page_of().content.decode()
    )
    assert len(found) > 25
    address, _, failed = found[3]
    listed = browser_of("view_task", "view_run").get(unescape(address)).content.decode()
    keys = set(re.findall(r'"/sisy/runs/(\d+)/"', listed))
    runs = Run.objects.in_bulk(map(int, keys)).values()
    assert len(keys) == int(failed) > 1
    assert {(run.task_id, run.state) for run in runs} == {(task.pk, RunState.FAILED)}


def test_failures_that_fit_side_by_side_have_a_bar_each():
    task = scheduled("*/10 * * * *", label="prices")
    store(task, NOON - 23 * HOUR, 138, 10 * MINUTE, lambda n: RunState.FAILED)
    bars = track_of(task).bars
    assert len(bars) == 138
    assert {bar.count for bar in bars} == {1}


def test_too_many_successes_of_a_column_are_not_all_counted(monkeypatch):
    monkeypatch.setattr(counting, "MIN_OF_EACH", 3)
    monkeypatch.setattr(counting, "MAX_OF_EACH", 3)
    task = scheduled("* * * * *", label="stock")
    store(task, NOON - 8 * HOUR, 480, MINUTE, is_down)
    assert re.match(r"3\+ succeeded, \d failed · failed · ", track_of(task).bars[3].words)


def test_if_columns_are_too_many_they_are_wider(monkeypatch):
    monkeypatch.setattr(counting, "MAX_COLUMNS", 10)
    task = scheduled("* * * * *", label="stock")
    store(task, NOON - 8 * HOUR, 480, MINUTE, is_down)
    track = track_of(task)
    assert len(track.bars) <= 14
    red, everything = red_and_all(track)
    assert 0.28 < red / everything < 0.4


def test_a_long_run_does_not_hide_the_failures_of_its_time():
    task = scheduled("* * * * *", label="busy", overlap="allow")
    store(task, NOON - 2 * HOUR, 3, 10 * SECOND, lambda n: RunState.FAILED)
    begin = NOON - 2 * HOUR - MINUTE
    task.new_run(
        now=begin, state=RunState.SUCCEEDED, started_at=begin, finished_at=NOON - HOUR
    ).save()
    assert [bar.state for bar in track_of(task).bars] == [RunState.SUCCEEDED, RunState.FAILED]


def test_the_statements_of_the_timeline_do_not_grow_with_crowded_tasks():
    def statements():
        with CaptureQueriesContext(connection) as seen:
            page_of()
        return len(without_steps(seen))

    def crowd(label):
        task = scheduled("* * * * *", label=label)
        store(task, NOON - 8 * HOUR, 300, MINUTE, is_down)
        store(task, NOON - 27 * HOUR, 130, 10 * MINUTE, is_queued, by_hand=True)
        store(task, NOON - 2 * HOUR, 121, MINUTE)

    crowd("first")
    statements()  # the first request also reads what is cached
    before = statements()
    for n in range(3):
        crowd(f"more {n}")
    assert statements() == before
