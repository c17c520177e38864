"""The last hour of a queue: what ended, what was queued, and for how long the oldest was."""

import pytest

from sisy.dashboard.charts.columns import charts_of
from sisy.models import Run, RunState
from sisy.reports import queue_history
from sisy.reports.queue_history import SLICES, WIDTH, queue_histories
from sisy.reports.queues import queues
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def task():
    return scheduled("0 0 1 1 *", overlap="allow")


def stored(task, ready_at, started_at=None, finished_at=None, state=RunState.SUCCEEDED, **columns):
    columns = {"started_at": started_at, "finished_at": finished_at, "state": state, **columns}
    run = task.new_run(now=ready_at, ready_at=ready_at, **columns)
    run.save()
    return run


def history(queue="default"):
    ready = {each.name: each.ready for each in queues("default", NOON)}
    return queue_histories("default", NOON, ready).of[queue]


def test_a_run_was_queued_from_its_moment_until_it_started(task):
    stored(task, NOON - 10 * MINUTE, NOON - 5 * MINUTE, NOON - SECOND)
    found = history()
    # At 10, 8 and 6 minutes before now; at 4 minutes before, it was running.
    assert found.queued == [0] * (SLICES - 6) + [1, 1, 1, 0, 0, 0]
    assert found.oldest[SLICES - 6 : SLICES - 3] == [0 * MINUTE, 2 * MINUTE, 4 * MINUTE]
    assert found.ended == [0] * (SLICES - 1) + [1]


def test_a_run_that_is_still_queued_counts_until_now(task):
    stored(task, NOON - 3 * HOUR, state=RunState.QUEUED)
    stored(task, NOON - 3 * MINUTE, state=RunState.QUEUED)
    found = history()
    assert found.queued == [1] * (SLICES - 2) + [2, 2]
    assert found.oldest[-1] == 3 * HOUR


def test_a_run_cancelled_while_queued_was_queued_and_never_ended_an_execution(task):
    stored(task, NOON - 9 * MINUTE, None, NOON - 5 * MINUTE, RunState.CANCELLED)
    assert sum(history().queued) == 2
    assert sum(history().ended) == 0


def test_what_ended_an_hour_ago_or_later_is_counted_once(task):
    for ended in (HOUR + SECOND, HOUR, HOUR - SECOND, WIDTH, 0 * SECOND):
        stored(task, NOON - HOUR - MINUTE, NOON - HOUR - MINUTE, NOON - ended)
    assert history().ended == [1] + [0] * (SLICES - 3) + [0, 2]


def test_runs_planned_long_ago_are_counted_only_while_they_are_queued(task):
    stored(task, NOON - 3 * HOUR, NOON - MINUTE, NOON - SECOND)
    stored(task, NOON, NOON, NOON)
    assert sum(history().ended) == 1


def test_each_queue_has_its_own_history_and_other_engines_have_none(task):
    stored(task, NOON - MINUTE, NOON - MINUTE, NOON - SECOND, queue="slow")
    stored(task, NOON - MINUTE, NOON - MINUTE, NOON - SECOND, engine="celery")
    assert sum(history("slow").ended) == 1
    assert sum(history().ended) == 0


def test_very_many_runs_are_estimated_from_a_sample(task, monkeypatch):
    monkeypatch.setattr(queue_history, "MAX_RUNS_SAMPLED", 10)
    runs = [
        task.new_run(
            now=NOON - MINUTE,
            ready_at=NOON - MINUTE,
            started_at=NOON - MINUTE,
            finished_at=NOON - SECOND,
            state=RunState.SUCCEEDED,
        )
        for _ in range(1200)
    ]
    Run.objects.bulk_create(runs)
    assert sum(history().ended) == 1200
    text = text_of(browser_of("view_task").get("/sisy/fleet/?parts=queues"))
    assert "estimated from 1 in 120 runs" in text
    assert "≈ 1,200" in text


def test_a_site_without_runs_has_empty_charts(task):
    found = queue_histories("default", NOON, {"default": []})
    charts = charts_of(found)["default"]
    assert (charts.total, charts.queued.columns, charts.oldest.columns) == (0, [], [])
    assert charts.queued.words == "Queued in the last hour: at most 0."


def test_the_charts_say_their_highest_value_and_each_column_its_own(task, settings):
    settings.SISY_QUEUE_ALERT_SECONDS = 60
    stored(task, NOON - 3 * MINUTE, state=RunState.QUEUED)
    page = browser_of("view_task").get("/sisy/fleet/?parts=queues").content.decode()
    assert 'aria-label="Queued in the last hour: at most 1."' in page
    assert "last hour: at most 3 min." in page
    assert "<title>11:58-12:00: oldest run queued for 3 min</title>" in page
    assert 'class="bar bad"' in page
    settings.SISY_QUEUE_ALERT_SECONDS = 600
    page = browser_of("view_task").get("/sisy/fleet/?parts=queues").content.decode()
    assert 'class="bar bad"' not in page
