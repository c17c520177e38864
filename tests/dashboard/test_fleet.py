"""Workers and queues: who has what in hand, and what is queued for whom."""

import pytest

from sisy.models import Process, Queue, Role, Run, RunState
from sisy.reports import queues
from sisy.runtime.journal import Report
from sisy.runtime.progress import Progress
from sisy.store.run_output import write_while_running
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.pressing import press
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
    assert "slow ! no worker 2" in text
    assert "oldest run queued for 1 min" in text


def test_of_very_many_queued_runs_so_many_are_counted(monkeypatch):
    monkeypatch.setattr(queues, "MAX_QUEUED_COUNTED", 3)
    task = scheduled("0 0 1 1 *", overlap="allow")
    for _ in range(5):
        task.run_now()
    assert "default ! no worker 3+" in shown("queues")


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
    page = press(client, "/sisy/processes/do/drain/", pks)
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
    # On MariaDB, the key of a moment takes a statement for each step.
    with django_assert_max_num_queries(32):
        client.get(PAGE)


def test_a_deploy_in_progress_is_visible(settings):
    for version, role in (("1.3", Role.WORKER), ("1.4", Role.WORKER), ("1.4", Role.HEARTBEAT)):
        settings.SISY_VERSION = version
        started = NOON - (MINUTE if version == "1.3" else SECOND)
        Process.join(role, using="default", now=started, lease=HOUR, slots=2)
    assert (
        "several versions 1 worker, 1 heartbeat on 1.4, 1 worker on 1.3 0 of 4 slots in use, "
        "4 free"
    ) in shown("processes")


def test_processes_are_grouped_by_host_and_version(settings):
    for host, version in (("web-2", "1.3"), ("web-1", "1.3"), ("web-1", "1.4")):
        settings.SISY_VERSION = version
        process = alive(queues=("default",), slots=2)
        Process.objects.filter(pk=process.pk).update(host=host)
    text = shown("processes")
    places = [text.index(words) for words in ("web-1 1.", "web-2 1.3 · 1 worker")]
    assert places == sorted(places)
    assert "several versions" in text


def test_without_a_version_processes_show_that_of_sisy():
    assert alive().version.startswith("Sisy 2")
    assert "several versions" not in shown("processes")


def test_all_workers_of_a_group_are_drained_at_once():
    workers = [alive(queues=("default",)) for _ in range(2)]
    html = browser_of("view_task", "pause_task").get(PAGE).content.decode()
    assert "Drain 2 workers" in html
    client = browser_of("view_task", "pause_task")
    press(client, "/sisy/processes/do/drain/", {"pk": [each.pk for each in workers]})
    assert "Drain 2 workers" not in client.get(PAGE).content.decode()


def test_a_running_run_shows_its_progress():
    worker = alive(queues=("default",), slots=4)
    scheduled(label="import").run_now()
    [run] = claim(worker, ["default"], 1, NOON)
    report = Report(head="", tail="", written=0, progress=Progress(30, 120, "", at=0.0))
    write_while_running("default", [(run, report)], NOON)
    assert "import 12:00:00 25 % · 30 of 120" in shown("processes")
