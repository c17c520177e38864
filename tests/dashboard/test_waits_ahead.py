"""The load page says how long the last run of a busy moment will wait."""

import heapq
import random
from datetime import timedelta

import pytest
from django.core.cache import cache

from sisy.models import Process, Role, Run, RunState, Task, task_with_callable
from sisy.reports import durations
from sisy.reports.load import due_groups
from sisy.reports.peaks import Wait, Work, busiest, longest_wait, slots_by_queue
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.app import jobs
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

MIDNIGHT = NOON + 12 * HOUR
ABOUT = "about 12 min until the last one starts, with 4 slots"


@pytest.fixture(autouse=True)
def fresh():
    cache.clear()


def invoices(number=30, **fields):
    tasks = [
        task_with_callable(jobs.noop, label=f"invoice {n}", schedule="0 0 * * *", **fields)
        for n in range(number)
    ]
    return Task.objects.bulk_create(tasks)


def took(tasks, span, due=NOON - DAY):
    Run.objects.bulk_create(
        task.new_run(
            now=due, due_at=due, state=RunState.SUCCEEDED, started_at=due, finished_at=due + span
        )
        for task in tasks
    )


def worker(slots=4, queues=("default",), **columns):
    process = Process.join(
        Role.WORKER, using="default", now=NOON, lease=HOUR, slots=slots, queues=queues
    )
    Process.objects.filter(pk=process.pk).update(**columns)


def last_start(spans, slots):
    """Return when the last run starts, by letting each run start in the first free slot."""
    free = [timedelta(0)] * slots
    for span in spans:
        last = heapq.heappop(free)
        heapq.heappush(free, last + span)
    return last


@pytest.mark.parametrize("number", [1, 4, 5, 29, 30, 200])
def test_runs_that_take_equally_long_start_in_rounds(number):
    work = Work().plus(number, 100 * SECOND)
    assert work.wait(4) == last_start([100 * SECOND] * number, 4)


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_different_length_are_estimated_to_within_one_of_them(seed):
    chance = random.Random(seed)
    spans = [chance.randint(50, 150) * SECOND for _ in range(60)]
    work = Work()
    for span in spans:
        work = work.plus(1, span)
    assert abs(work.wait(4) - last_start(spans, 4)) <= 150 * SECOND


def test_the_queue_with_the_longest_wait_counts():
    work = {"default": Work(9, 9 * MINUTE), "mail": Work(3, 9 * MINUTE), "gpu": Work(99, HOUR)}
    wait = longest_wait(work, {"default": 4, "mail": 1})
    assert wait == Wait(queue="mail", slots=1, time=6 * MINUTE)
    assert str(wait) == "about 6 min until the last one starts, with 1 slot"
    assert longest_wait(work, {"default": 9}) is None
    assert longest_wait({"default": Work(9, 9 * SECOND)}, {"default": 4}) is None


def test_workers_that_drain_have_no_slots():
    worker(slots=4, queues=("default", "mail"))
    worker(slots=3, queues=("mail",))
    worker(slots=8, drain_requested_at=NOON)
    assert slots_by_queue(Process.objects.all()) == {"default": 4, "mail": 7}


def test_the_load_page_says_how_long_the_last_of_many_runs_will_wait():
    worker()
    took(invoices(), 100 * SECOND)
    page = text_of(browser_of("view_task").get("/sisy/load/"))
    assert f"invoice 0 (and 29 more) ▲ {ABOUT} Spread…" in page


def test_the_load_page_says_nothing_if_each_run_finds_a_slot_or_no_worker_is_up():
    took(invoices(4), 100 * SECOND)
    assert "until the last" not in text_of(browser_of("view_task").get("/sisy/load/"))
    cache.clear()
    worker()
    assert "until the last" not in text_of(browser_of("view_task").get("/sisy/load/"))


def test_nightly_runs_are_known_though_newer_runs_of_other_tasks_hide_them(monkeypatch):
    monkeypatch.setattr(durations, "MAX_RUNS_SAMPLED", 10)
    took(invoices(), 100 * SECOND)
    poll = task_with_callable(jobs.noop, schedule="* * * * * *", label="poll")
    poll.save()
    for number in range(20):
        took([poll], SECOND, due=NOON - MINUTE + number * SECOND)
    groups = due_groups("default", NOON, NOON + DAY).groups
    [moment, *_] = busiest(groups, NOON, NOON + DAY)
    assert moment.due == MIDNIGHT
    assert longest_wait(moment.work, {"default": 4}).time > 11 * MINUTE


def test_queues_are_estimated_each_for_itself():
    worker()
    took(invoices(15) + invoices(15, queue="mail"), 100 * SECOND)
    page = text_of(browser_of("view_task").get("/sisy/load/"))
    assert "about 5 min until the last one starts, with 4 slots" in page


def test_runs_of_other_engines_take_no_slots(settings):
    settings.SISY_ENGINES = {"celery": "celery"}
    Task.objects.filter(pk__in=[task.pk for task in invoices()]).update(engine="celery")
    took(Task.objects.all(), 100 * SECOND)
    [moment] = busiest(due_groups("default", NOON, NOON + DAY).groups, NOON, NOON + DAY)
    assert (moment.number, moment.work) == (30, {})
