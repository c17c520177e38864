"""Whatever is decided is read where it is written: it matters to nothing what a replica knows."""

from copy import deepcopy
from datetime import timedelta

import pytest
from django.db import transaction

from sisy import signals
from sisy.backends import SisyBackend
from sisy.checks.stored import check_stored_tasks
from sisy.engines.execute import execute_dispatched
from sisy.heartbeat import tick
from sisy.models import Process, Run, Task, task_with_callable, taskinfo_with_label
from sisy.testing import assert_ran, assert_scheduled, sisy_time
from tests.admin.pages import page_of
from tests.admin.people import browser_of_superuser
from tests.app import django_jobs, jobs
from tests.app.models import Counter
from tests.commands.calling import said
from tests.dashboard.pressing import press
from tests.models.databases import PrimaryAndReplica, second_database
from tests.models.verbs import HOUR, NOON, VERBS, Site

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

OURS = ("sisy_", "testapp_")


@pytest.fixture
def site():
    return Site.build()


@pytest.fixture
def replica(tmp_path, settings, site):
    """Reads go to a replica that is years behind; return what it was asked about our tables."""
    asked = []

    def note(execute, sql, *more):
        if any(name in sql for name in OURS):
            asked.append(sql)
        return execute(sql, *more)

    with second_database("replica", tmp_path / "replica.sqlite3") as connection:
        site.read_from("replica")
        settings.DATABASE_ROUTERS = [PrimaryAndReplica()]
        with connection.execute_wrapper(note):
            yield asked
        settings.DATABASE_ROUTERS = []


def ledger():
    """Return all that the primary knows, without keys, which differ from one try to the next."""
    tasks = Task.objects.using("default").order_by("pk")
    runs = Run.objects.using("default").order_by("pk")
    processes = Process.objects.using("default").order_by("pk")
    return [
        list(tasks.values_list("label", "state", "state_reason", "next_run", "queue")),
        list(
            runs.values_list("label", "state", "reason", "origin", "occurrence_at", "task__label")
        ),
        list(runs.values_list("cancel_requested_at", "cancel_reason", "cancel_force", "queue")),
        list(processes.values_list("lease_until", "drain_requested_at")),
    ]


@pytest.mark.parametrize("verb", VERBS, ids=str)
def test_a_verb_does_the_same_whatever_a_replica_knows(verb, site, request):
    with transaction.atomic():
        expected = verb.do(deepcopy(site))
        after = ledger()
        transaction.set_rollback(True)
    asked = request.getfixturevalue("replica")
    done = verb.do(site)
    assert (asked, ledger()) == ([], after)
    assert type(done) is type(expected)
    if isinstance(done, bool | int | dict):
        assert done == expected


@pytest.mark.parametrize("field", ["schedule", "label", "iterations", "target_path"])
def test_a_save_decides_by_the_primary(replica, site, field):
    values = {"schedule": "0 18 * * *", "iterations": 3, "target_path": "tests.app.jobs.record"}
    setattr(site.task, field, values.get(field, "new"))
    site.task.save()
    site.task.full_clean()
    Task.objects.filter(pk=site.task.pk).update(schedule="@daily")
    site.paused.delete()
    Task.objects.filter(label="new").delete()
    assert replica == []


def test_heartbeat_worker_and_engines_know_the_primary_only(replica, site):
    counter = Counter.objects.create()
    counter._state.db = "replica"
    task = task_with_callable(counter.tick, max_attempts=2)
    task.save()
    with sisy_time(NOON) as timeline:
        timeline.advance(hours=1)
    tick("default", NOON + 2 * HOUR)
    execute_dispatched(site.queued.pk)
    check_stored_tasks(databases=["default"])
    taskinfo_with_label("sweep")
    assert_scheduled(jobs.noop, label="sweep")
    assert_ran(jobs.noop)
    assert Counter.objects.using("default").get().count == 60
    assert replica == []


def test_an_enqueued_result_is_read_from_the_primary(replica):
    backend = SisyBackend("default", {})
    result = django_jobs.add.enqueue(1, 2)
    run = Run.objects.using("default").get(origin="enqueued")
    Run.objects.filter(pk=run.pk).update(attempt=2, state="failed")
    assert backend.get_result(result.id).status == "FAILED"
    assert replica == []


@pytest.mark.parametrize("verb", ["run", "pause", "resume", "cancel", "back_to_code"])
def test_a_button_of_the_dashboard_for_tasks_acts_upon_the_primary(replica, site, verb):
    keys = [site.task.pk, site.paused.pk]
    answer = press(browser_of_superuser(), f"/sisy/tasks/do/{verb}/", {"pk": keys}, follow=False)
    assert answer.status_code == 302
    assert replica == []


@pytest.mark.parametrize("verb", ["retry", "cancel", "cancel_force"])
def test_a_button_of_the_dashboard_for_runs_acts_upon_the_primary(replica, site, verb):
    keys = [site.over.pk, site.queued.pk, site.running.pk, site.orphan.pk]
    answer = press(browser_of_superuser(), f"/sisy/runs/do/{verb}/", {"pk": keys}, follow=False)
    assert answer.status_code == 302
    assert replica == []


@pytest.mark.parametrize(
    ("row", "name"),
    [
        *[("task", name) for name in ("pause", "back_to_code")],
        ("paused", "resume"),
        *[("over", "retry"), ("running", "cancel_force"), ("queued", "cancel")],
    ],
)
def test_an_action_of_the_admin_acts_upon_the_primary(replica, site, row, name):
    chosen = getattr(site, row)
    browser, address = browser_of_superuser(), f"/admin/sisy/{chosen._meta.model_name}/"
    before = ledger()
    data = {"action": name, "_selected_action": [chosen.pk]}
    assert browser.post(address, data).status_code == 302
    assert ledger() != before or name == "back_to_code"
    assert browser.get(page_of(chosen)).status_code == 200
    assert replica == []


def test_a_backfill_of_the_dashboard_acts_upon_the_primary(replica, site):
    span = {"start": f"{NOON - HOUR:%Y-%m-%dT%H:%M:%S}", "end": f"{NOON:%Y-%m-%dT%H:%M:%S}"}
    browser = browser_of_superuser()
    page = f"/sisy/tasks/{site.task.pk}/backfill/"
    assert browser.get(page, span).status_code == 200
    assert browser.post(page, span).status_code == 302
    assert Run.objects.using("default").filter(origin="backfill").count() == 60
    assert replica == []


@pytest.mark.parametrize(
    "page",
    ["", "tasks/", "runs/", "fleet/", "load/", "tasks/{task}/", "runs/{run}/"],
)
def test_a_page_shows_rows_that_a_replica_does_not_know_yet(replica, site, page):
    address = "/sisy/" + page.format(task=site.task.pk, run=site.over.pk)
    assert browser_of_superuser().get(address).status_code == 200
    assert replica == []


@pytest.mark.parametrize(
    "line", ["list", "show sweep", "next sweep", "history sweep", "run sweep", "pause sweep"]
)
def test_a_command_reads_from_the_primary(replica, line):
    said(f"sisy_tasks {line}")
    assert replica == []


def test_receivers_may_follow_the_relations_of_their_objects(
    replica, django_capture_on_commit_callbacks
):
    """A run that Sisy tells of brings its task along."""
    seen = []

    def note(run, **kwargs):
        seen.append(run.task and run.task.label)

    signals.run_finished.connect(note)
    try:
        with (
            django_capture_on_commit_callbacks(execute=True),
            sisy_time(NOON + timedelta(seconds=1)) as timeline,
        ):
            timeline.run_due()
    finally:
        signals.run_finished.disconnect(note)
    assert seen
    assert set(seen) <= {"sweep"}
    assert replica == []
