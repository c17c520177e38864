"""A paused queue is shown wherever people judge its tasks and its runs."""

import pytest
from django.core.cache import cache

from sisy.models import Queue, RunState, Task
from sisy.reports import queue_pauses
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.app import jobs
from tests.dashboard.test_alerts import alerts
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

SENTENCE = (
    "The queue 'default' was paused by Sam at 2026-05-05 12:00:00 UTC (stocktaking). Its runs "
    "stay queued."
)
LINK = 'href="/sisy/fleet/#queue-default"'


@pytest.fixture(autouse=True)
def _nothing_is_cached():
    cache.clear()


def paused(name="default", **fields):
    Queue.objects.pause(name, "stocktaking", by="Sam", **fields)


def shown(address):
    return browser_of("view_task", "view_run").get(f"/sisy/{address}")


def test_the_page_of_a_task_shows_that_its_queue_is_paused():
    task, other = scheduled("0 13 * * *"), scheduled("0 13 * * *", queue="mail")
    paused()
    page = shown(f"tasks/{task.pk}/?parts=head")
    assert f"● active ‖ queue paused {SENTENCE} Schedule" in text_of(page)
    assert "Next run 13:00:00 (stays queued until the queue is resumed)" in text_of(page)
    assert LINK in page.content.decode()
    assert "paused" not in text_of(shown(f"tasks/{other.pk}/?parts=head"))


@pytest.mark.parametrize(("ends", "is_held"), [(HOUR, False), (HOUR + MINUTE, True)])
def test_a_run_after_the_end_of_the_pause_is_not_said_to_stay_queued(ends, is_held):
    task = scheduled("0 13 * * *")
    paused(until=NOON + ends)
    text = text_of(shown(f"tasks/{task.pk}/?parts=head"))
    assert "‖ queue paused" in text
    assert ("stays queued until the queue is resumed" in text) == is_held


def test_the_upcoming_runs_name_the_paused_queues_of_their_tasks():
    scheduled("0 13 * * *", label="seldom")
    scheduled("* * * * *", label="often", queue="often")
    Task.run_once(jobs.noop, delay_until=NOON + HOUR, queue="once")
    scheduled("0 0 1 1 *", queue="yearly")
    for name in ("default", "often", "once", "yearly", "mail"):
        paused(name)
    for page in ("load/?parts=agenda", "load/"):
        text = text_of(shown(page))
        assert SENTENCE in text
        assert text.count("‖ queue paused") == 3
        assert "yearly" not in text
    Queue.objects.resume("default")
    assert SENTENCE not in text_of(shown("load/?parts=agenda"))


def test_the_tasks_of_a_busy_time_show_that_their_queue_is_paused():
    scheduled("0 13 * * *")
    address = "load/peak/?at=2026-05-05T13:00:00%2B00:00"
    assert "queue paused" not in text_of(shown(address))
    paused()
    assert SENTENCE in text_of(shown(address))


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=queued", {"default", "empty"}),
        ("state=queued&queue=default", {"default"}),
        ("state=queued&queue=empty", {"empty"}),
        ("state=queued&queue=mail", set()),
        ("state=queued&search=report", {"default"}),
        ("state=queued&search=nothing", set()),
        ("state=running&queue=default", set()),
        ("", set()),
    ],
)
def test_the_list_of_queued_runs_names_the_paused_queues(query, names):
    for queue, label in (("default", "report"), ("mail", "digest")):
        task = scheduled(queue=queue, label=label)
        task.new_run(now=NOON, state=RunState.QUEUED).save()
    for name in ("default", "empty"):
        paused(name)
    text = text_of(shown(f"runs/?parts=list&{query}"))
    named = {name for name in ("default", "mail", "empty") if f"queue '{name}' was" in text}
    assert named == names


def test_of_very_many_paused_queues_some_are_named(monkeypatch):
    monkeypatch.setattr(queue_pauses, "MAX_SHOWN", 2)
    for name in "abc":
        paused(name)
    assert text_of(shown("runs/?state=queued")).count("‖ queue paused") == 2


def test_the_index_of_problems_leads_to_paused_queues():
    broken = scheduled(label="broken")
    Task._base_manager.filter(pk=broken.pk).update(state="broken", next_run=None)
    paused()
    html = shown("?parts=alerts").content.decode()
    index = html.partition('<ul class="sisy-index">')[2].partition("</ul>")[0]
    assert ">paused: queue default</a>" in index
    assert len(alerts()) == index.count("<li>")
    key = index.partition("queue default")[0].rpartition("#")[2].partition('"')[0]
    assert f'id="{key}"' in html
