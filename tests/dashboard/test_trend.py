"""The trend of a task's runs: medians, percentiles, and outliers."""

from datetime import timedelta

import pytest

from sisy.models import RunState
from sisy.reports import trend
from sisy.reports.trend import trend_of
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def stored(durations, late=SECOND, **columns):
    """Return a task with runs that took so many seconds, one a minute, the last one at noon."""
    task = scheduled("0 0 1 1 *", label="tea")
    for number, seconds in enumerate(durations):
        moment = NOON - (len(durations) - number) * MINUTE
        begin = moment + late
        times = {"started_at": begin, "finished_at": begin + timedelta(seconds=seconds)}
        task.new_run(
            now=moment, ready_at=moment, state=RunState.SUCCEEDED, **{**times, **columns}
        ).save()
    return task


def test_each_of_a_few_runs_is_a_point_without_a_band():
    found = trend_of("default", stored([1, 2, 3]))
    assert [point.took.median for point in found.points] == [SECOND, 2 * SECOND, 3 * SECOND]
    assert {point.took.high for point in found.points} == {None}
    assert {point.late.median for point in found.points} == {SECOND}
    assert found.points[-1].at == NOON - MINUTE + SECOND


def test_many_runs_are_points_of_as_many_runs_each(monkeypatch):
    monkeypatch.setattr(trend, "MAX_POINTS", 3)
    found = trend_of("default", stored([9, 1, 2, 3, 4, 5, 6]))
    assert [point.count for point in found.points] == [1, 3, 3]
    assert [point.took.median for point in found.points[1:]] == [2 * SECOND, 5 * SECOND]
    assert [point.took.high for point in found.points[1:]] == [3 * SECOND, 6 * SECOND]


def test_a_task_without_runs_has_no_points():
    found = trend_of("default", scheduled())
    assert (found.points, found.slow, found.runs) == ([], [], 0)


def test_only_the_newest_runs_are_read(monkeypatch):
    monkeypatch.setattr(trend, "MAX_RUNS_READ", 2)
    assert trend_of("default", stored([1, 2, 3])).runs == 2


def test_occurrences_that_never_ran_are_no_points():
    task = stored([1, 2])
    task.new_run(now=NOON, state=RunState.MISSED, finished_at=NOON).save()
    assert trend_of("default", task).runs == 2


def test_a_run_that_took_far_longer_is_named_and_linked():
    task = stored([2, 3, 2, 3, 2, 60, 3, 2, 3])
    found = trend_of("default", task)
    assert [run.duration for run in found.slow] == [60 * SECOND]
    assert found.late == []
    answer = browser_of("view_task").get(f"/sisy/tasks/{task.pk}/?parts=history")
    assert f'href="/sisy/runs/{found.slow[0].pk}/"' in answer.content.decode()
    assert "A dot marks an outlier" in text_of(answer)


def test_a_run_that_started_far_later_is_named():
    task = stored([2] * 9)
    run = task.new_run(
        now=NOON - HOUR,
        ready_at=NOON - HOUR,
        state=RunState.FAILED,
        started_at=NOON - HOUR + 5 * MINUTE,
        finished_at=NOON - HOUR + 5 * MINUTE + 2 * SECOND,
    )
    run.save()
    assert [late.pk for late in trend_of("default", task).late] == [run.pk]


def test_usual_differences_are_not_far_off():
    assert trend_of("default", stored([1, 2, 1.2, 1.9, 1.4, 1.1, 1.8, 1.5, 2.4, 1.9])).slow == []
    assert trend_of("default", stored([0.1] * 9 + [0.5])).slow == []


def test_a_few_runs_have_none_that_are_far_off():
    assert trend_of("default", stored([1, 1, 1, 90])).slow == []
