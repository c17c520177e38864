"""Workers and queues: who has what in hand, and what is queued for whom."""

import pytest

from sisy.models import Process, Queue, Role, Run, RunState
from sisy.reports import queues
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.roles.steps import LEASE, finish
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

PAGE = "/sisy/fleet/"


def alive(role=Role.WORKER, **fields):
    return Process.join(role, using="default", now=NOON, lease=LEASE, **fields)


def shown(part):
    return text_of(browser_of("view_task").get(f"{PAGE}?parts={part}"))


def test_each_worker_is_shown_with_its_current_runs():
    worker = alive(queues=("default", "slow"), slots=4)
    run = scheduled(label="report").run_now()
    claim(worker, ["default"], 1, NOON + SECOND)
    text = shown("processes")
    assert f"worker {worker.pid}" in text
    assert "default, slow" in text
    assert "1 / 4 report" in text
    page = browser_of("view_task").get(f"{PAGE}?parts=processes").content.decode()
    assert f'href="/sisy/runs/{run.pk}/"' in page
    assert "1 of 4 slots in use" in page


def test_an_unresponsive_worker_shows_the_reason_if_known():
    silent = alive()
    Process.objects.filter(pk=silent.pk).update(
        lease_until=NOON - SECOND, end_reason="killed by SIGKILL"
    )
    assert "unresponsive killed by SIGKILL" in shown("processes")


def test_the_page_shows_the_fleets_throughput():
    worker = alive()
    for ago in (SECOND, 10 * MINUTE, 2 * HOUR):
        scheduled().run_now()
        [run] = claim(worker, ["default"], 1, NOON + SECOND)
        finish(run, NOON - ago)
    assert "1 run finished in the last minute, 2 in the last hour" in shown("processes")


def test_an_empty_fleet_says_what_to_start():
    assert "No processes are running. Start manage.py sisy" in shown("processes")


def test_each_queue_shows_its_queued_runs_and_since_when(at_time):
    alive(queues=("default",))
    scheduled(queue="slow").run_now()
    at_time(NOON + MINUTE)
    scheduled(queue="slow").run_now()
    text = shown("queues")
    assert "slow ! no worker 2 12:00:00" in text


def test_of_very_many_queued_runs_so_many_are_counted(monkeypatch):
    monkeypatch.setattr(queues, "MAX_QUEUED_COUNTED", 3)
    task = scheduled("0 0 1 1 *", overlap="allow")
    for _ in range(5):
        task.run_now()
    assert "default ! no worker 3+ 12:00:00" in shown("queues")


def test_a_paused_queue_shows_who_paused_it_and_why():
    Queue.objects.pause("default", "deploy", by="Sam")
    assert "by Sam: deploy" in shown("queues")
    Queue.objects.resume("default")
    Queue.objects.pause("default", "deploy")
    assert "paused 12:00:00 deploy" in shown("queues")


def test_a_queue_is_paused_and_resumed():
    alive(queues=("default",))
    scheduled()
    client = browser_of_superuser()
    page = client.post("/sisy/queues/do/pause/", {"name": "default"}, follow=True)
    assert "Paused the queue 'default'." in text_of(page)
    assert "‖ paused 12:00:00 by Sam" in text_of(page)
    page = client.post("/sisy/queues/do/resume/", {"name": "default"}, follow=True)
    assert not Queue.objects.paused().exists()
    page = client.post("/sisy/queues/do/pause/", {"name": "no such name!"}, follow=True)
    assert page.status_code == 200
    assert not Queue.objects.paused().exists()


def test_a_worker_is_asked_to_drain():
    worker, heartbeat = alive(), alive(Role.HEARTBEAT)
    client = browser_of("view_task", "pause_task")
    pks = {"pk": [worker.pk, heartbeat.pk]}
    page = client.post("/sisy/processes/do/drain/", pks, follow=True)
    assert "Draining 1 worker." in text_of(page)
    assert "◔ draining" in text_of(page)
    worker.refresh_from_db()
    heartbeat.refresh_from_db()
    assert (worker.drain_requested_at, heartbeat.drain_requested_at) == (NOON, None)


@pytest.mark.parametrize("address", ["queues/do/pause/", "processes/do/drain/"])
def test_pausing_a_queue_needs_its_permission(address):
    worker = alive(queues=("default",))
    client = browser_of("view_task", "run_task")
    answer = client.post(f"/sisy/{address}", {"name": "default", "pk": worker.pk})
    assert answer.status_code == 403
    assert "do/" not in client.get(PAGE).content.decode()


def test_the_number_of_queries_does_not_grow_with_the_fleet(django_assert_max_num_queries):
    for _ in range(20):
        worker = alive(queues=("default",), slots=2)
        scheduled().run_now()
        claim(worker, ["default"], 1, NOON + SECOND)
    assert Run.objects.filter(state=RunState.RUNNING).count() == 20
    client = browser_of("view_task")
    client.get(PAGE)
    with django_assert_max_num_queries(16):
        client.get(PAGE)
