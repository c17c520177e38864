"""The timeline, the map of the load and the commands give one forecast."""

import pytest

from sisy.models import RunState
from sisy.reports.forecast import Forecast, occurrences_of
from sisy.reports.timeline.upcoming import joined, upcoming
from sisy.reports.timeline.window import Window
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.commands.calling import said, told
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TAKES = 90 * SECOND


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "allow"])
def test_the_timeline_and_the_command_expect_the_same_overlaps(overlap):
    task = stored(scheduled("* * * * *", label="slow", overlap=overlap))
    window = Window(start=NOON, end=NOON + HOUR)
    bars = upcoming(task, window, NOON, TAKES).bars
    forecast = Forecast(takes={task.pk: TAKES})
    for due, _ in occurrences_of([task], NOON + SECOND, NOON + HOUR + SECOND):
        forecast.note(due, task)
    on_timeline = [bar.due for bar in bars if bar.overlaps]
    by_command = [(one.first, one.count) for one in forecast.overlaps()]
    assert by_command == ([(on_timeline[0], len(on_timeline))] if on_timeline else [])
    assert bool(on_timeline) == (overlap != "allow")


def test_the_run_that_is_running_now_may_overlap_the_next_one():
    task = stored(scheduled("0 * * * *", label="slow"))
    window = Window(start=NOON, end=NOON + 3 * HOUR)
    run = task.new_run(now=NOON, state=RunState.RUNNING, started_at=NOON - MINUTE)
    bars = upcoming(task, window, NOON, HOUR + 2 * MINUTE, [run]).bars
    assert [bar.overlaps for bar in bars] == [True, False, True]


def test_a_task_that_is_due_too_often_for_single_bars_has_none():
    """The first hundred of them as bars would look like a burst that ends soon."""
    task = stored(scheduled("* * * * *"))
    window = Window(start=NOON - HOUR, end=NOON + 3 * HOUR)
    found = upcoming(task, window, NOON, SECOND)
    assert (found.bars, found.crowded) == ([], (window.place(NOON + MINUTE), 100.0))
    both = joined([found, upcoming(task, window, NOON + 2 * HOUR, SECOND)])
    assert (len(both.bars), both.crowded) == (60, found.crowded)
    ending = stored(scheduled("* * * * *", end_running=NOON + 2 * HOUR))
    assert upcoming(ending, window, NOON, SECOND).crowded == (found.crowded[0], 75.0)
    # Those that will probably overlap are seen.
    assert all(bar.overlaps for bar in upcoming(task, window, NOON, TAKES).bars)


def test_a_paused_task_is_not_due_even_if_it_is_named():
    scheduled("0 * * * *", label="tea").pause()
    assert "Nothing is due." in said("sisy_simulate 2026-05-06 2026-05-07 --task tea")


def test_a_task_that_is_due_at_once_is_due_at_once_in_the_forecast():
    task = stored(scheduled("0 0 * * *", label="tea"))
    task.next_run = NOON
    task.save()
    [first, second] = occurrences_of([task], NOON, NOON + DAY)
    assert (first[0], second[0]) == (NOON, NOON + 12 * HOUR)


def test_a_range_in_the_past_is_shown_as_the_schedule_is_now():
    scheduled("0 * * * *", label="tea", iterations=1)
    found = told("sisy_simulate 2026-05-05T00:00 2026-05-06T00:00")["occurrences"]
    assert [row["due"][11:16] for row in found] == [f"{hour:02}:00" for hour in range(14)]


@pytest.mark.parametrize("most", [1, 200])
def test_the_command_and_the_timeline_take_the_same_duration_for_usual(most, monkeypatch):
    monkeypatch.setattr("sisy.reports.durations.MAX_TASKS_READ", most)
    task = scheduled("* * * * *", label="slow")
    scheduled("0 0 1 1 *", label="other")
    for n, seconds in enumerate((60, 90, 900)):
        begin = NOON - DAY + n * HOUR
        end = begin + seconds * SECOND
        times = {"started_at": begin, "finished_at": end}
        task.new_run(now=begin, state=RunState.SUCCEEDED, **times).save()
    [met] = told("sisy_simulate 2026-05-06 2026-05-06T01:00")["overlaps"]
    assert met["typical duration"] == 90.0
    assert "typical duration 1 min 30 s" in text_of(
        browser_of("view_task").get("/sisy/?parts=timeline")
    )
