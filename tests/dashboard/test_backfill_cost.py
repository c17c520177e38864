"""The preview of a backfill says how much work it is, and how long it takes."""

import pytest

from sisy.models import Overlap, Process, Queue, Role, RunState
from sisy.reports import durations
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def preview(task):
    asked = {"start": "2026-05-05T06:00:00", "end": "2026-05-05T09:00:00"}
    browser = browser_of("view_task", "backfill_task")
    shown = text_of(browser.get(f"/sisy/tasks/{task.pk}/backfill/", asked))
    return shown.partition(" 2026-05-05 08:00:00 UTC ")[2].partition(" Run backfill")[0]


def taking(minutes, **fields):
    task = scheduled("0 * * * *", **fields)
    begin = NOON - 40 * HOUR
    task.new_run(
        now=begin,
        state=RunState.SUCCEEDED,
        started_at=begin,
        finished_at=begin + minutes * MINUTE,
    ).save()
    return task


def worker(slots=2, queue="default"):
    return Process.join(
        Role.WORKER, using="default", now=NOON, lease=HOUR, queues=(queue,), slots=slots
    )


def test_runs_that_may_not_overlap_take_the_time_of_all():
    worker()
    assert preview(taking(5)) == (
        "A run typically takes 5 min. One after the other, they take about 15 min."
    )


def test_runs_that_may_overlap_share_the_slots():
    worker()
    assert preview(taking(5, overlap=Overlap.ALLOW)) == (
        "A run typically takes 5 min. The total run time is about 15 min. With 2 free slots, "
        "they take about 10 min."
    )


def test_a_task_that_never_succeeded_takes_an_unknown_time():
    worker()
    task = scheduled("0 * * * *")
    assert preview(task) == "The duration is unknown, because none of the latest runs succeeded."


def test_a_task_that_has_failed_since_takes_as_long_as_when_it_succeeded(monkeypatch):
    monkeypatch.setattr(durations, "MAX_RUNS_OF_A_TASK", 2)
    worker()
    task = taking(5)
    for ago in (3, 2):
        begin = NOON - ago * HOUR
        times = {"started_at": begin, "finished_at": begin}
        task.new_run(now=begin, state=RunState.FAILED, **times).save()
    assert preview(task).startswith("A run typically takes 5 min.")


def test_a_queue_without_a_worker_is_named_before_the_backfill():
    worker(queue="mail")
    assert "No worker serves the queue" in preview(taking(5))


def test_a_paused_queue_is_named_before_the_backfill():
    worker()
    Queue.objects.pause("default")
    assert "The queue is paused. Runs stay queued until it is resumed." in preview(taking(5))


def test_a_draining_worker_does_not_count():
    worker().request_drain(NOON)
    assert "No worker serves the queue" in preview(taking(5, overlap=Overlap.ALLOW))


def test_another_engine_decides_how_many_runs_execute_at_once():
    task = taking(5, overlap=Overlap.ALLOW)
    type(task).objects.update(engine="celery")
    assert preview(task) == "A run typically takes 5 min. The total run time is about 15 min."
