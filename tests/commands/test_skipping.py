"""Advice to start a worker says which queued runs the worker would skip."""

import pytest

from sisy.models import Overlap, Process, Role, Run, Task
from sisy.records.problems import Kind
from sisy.reports.skipping import Skipped, would_be_skipped
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.app import jobs
from tests.commands.calling import said, seen
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import open_alert, scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

NOTHING = Skipped(by_policy=0, by_limit=0)
WARNING = "Otherwise up to 3 queued runs are skipped"


def backlog(overlap, number=4):
    task = scheduled("0 0 1 1 *", label="labels", queue="print", overlap=overlap)
    for n in range(number):
        at = NOON - (number - n) * HOUR
        task.new_run(now=at, due_at=at).save()
    return task


@pytest.mark.parametrize(
    ("overlap", "number"),
    [
        (Overlap.SKIP, 3),
        (Overlap.BUFFER_ONE, 2),
        (Overlap.CANCEL_OTHER, 2),
        (Overlap.TERMINATE_OTHER, 2),
        (Overlap.BUFFER_ALL, 0),
        (Overlap.ALLOW, 0),
    ],
)
def test_the_number_is_that_of_the_runs_that_a_worker_skips(overlap, number):
    task = backlog(overlap)
    expected = Skipped(by_policy=number, by_limit=0)
    assert would_be_skipped("default", "print", NOON) == expected
    assert would_be_skipped("default", "print", NOON, task.pk) == expected
    assert would_be_skipped("default", "default", NOON) == NOTHING
    claim(worker(), ["print"], 10, NOON)
    assert Run.objects.filter(state="skipped").count() == number


def test_a_worker_skips_the_runs_above_the_limit_of_queued_ones(settings):
    settings.SISY_BUFFER_LIMIT = 3
    backlog(Overlap.BUFFER_ALL, number=9)
    assert would_be_skipped("default", "print", NOON) == Skipped(
        by_policy=0, by_limit=5, needed=50
    )
    text = said("sisy_queues list")
    assert "raise the setting SISY_BUFFER_LIMIT from 3 to 50 or more." in text
    assert "Otherwise up to 5 of the newest queued runs are skipped." in text
    claim(worker(), ["print"], 10, NOON)
    assert Run.objects.filter(state="skipped").count() == 5


def test_the_limit_does_not_apply_to_runs_that_were_submitted_together(settings):
    settings.SISY_BUFFER_LIMIT = 3
    Task.bulk_run_once(jobs.noop, [{}] * 9, queue="print", overlap="buffer_all")
    assert would_be_skipped("default", "print", NOON) == NOTHING


def test_the_dashboard_warns_beside_the_queue_that_has_no_worker():
    backlog(Overlap.SKIP)
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=DAY)
    text = text_of(browser_of("view_task").get("/sisy/?parts=alerts"))
    assert WARNING in text


def test_all_advice_to_start_a_worker_warns():
    task = backlog(Overlap.SKIP)
    lease = DAY
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=lease)
    columns = {"subject": "queue:print", "queue": "print", "label": "", "task_id": None}
    alert = open_alert(task, Kind.NO_WORKER, NOON - MINUTE)
    type(alert).objects.update(**columns)
    run = Run.objects.order_by("pk").first()
    for line in (
        "sisy_queues list",
        "sisy_status",
        f"sisy_alerts show {alert.pk}",
        f"sisy_runs show {run.pk}",
    ):
        text = " ".join(said(line).split())
        assert WARNING in text, line
        assert "'buffer_all'" in text, line


def test_a_warning_without_a_command_is_wrapped(monkeypatch):
    task = backlog(Overlap.SKIP)
    alert = open_alert(task, Kind.NO_WORKER, NOON - MINUTE, why="No worker.", queue="print")
    lines = seen(f"sisy_alerts show {alert.pk}", monkeypatch).splitlines()
    assert WARNING in " ".join(lines)
    assert max(len(line) for line in lines if "manage.py" not in line) <= 80


def test_advice_does_not_warn_about_runs_that_would_all_be_executed():
    backlog(Overlap.BUFFER_ALL)
    assert "skipped" not in said("sisy_queues list")
    assert "skipped" not in said("sisy_status")
