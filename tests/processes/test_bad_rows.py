"""Tasks that have become unusable: the others go on, and people see which and why."""

import sys
from contextlib import contextmanager

import pytest
from django.db import connection

from sisy.models import Run, RunState, Task, task_with_callable
from tests.admin.pages import TASKS, rows_of, text_of
from tests.admin.people import browser_of_superuser
from tests.app import jobs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

JOB = "def job(message):\n    pass\n"
REASONS = {
    "corrupted schedule": "minute: 61 is out of range. Use 0 to 59.",
    "zone of yesterday": "Unknown time zone 'Europe/Atlantis'.",
    "deleted module": (
        "TargetMissing: moved_jobs.job does not exist: there is no module 'moved_jobs'."
    ),
}


@contextmanager
def importable(folder):
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("moved_jobs", None)


def scheduled(label, fn=jobs.record):
    task = task_with_callable(fn, label=label, schedule="* * * * * *")
    task.save()
    return task


def corrupt(task, column, value):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sisy_task SET {column} = %s WHERE id = %s", [value, task.pk])


def succeeded(label):
    return Run.objects.filter(label=label, state=RunState.SUCCEEDED).count()


def test_a_deleted_module_bad_schedule_or_unknown_zone_stops_no_other_task(site):
    site.set(SISY_MISSING_CODE_SECONDS=1)
    module = site.folder / "moved_jobs.py"
    module.write_text(JOB)
    with importable(site.folder):
        scheduled("deleted module", "moved_jobs.job")
    module.unlink()
    corrupt(scheduled("corrupted schedule"), "schedule", "61 * * * *")
    corrupt(scheduled("zone of yesterday"), "timezone", "Europe/Atlantis")
    scheduled("fine")
    site.accepted += ["is set aside", "Traceback", "ScheduleError"]
    process = site.manage("sisy")
    wait_until(lambda: Task.objects.exclude(target_error="").exists(), "the module is missed")
    wait_until(lambda: Task.objects.filter(state="broken").count() == 2, "two are set aside")
    before = succeeded("fine")
    wait_until(lambda: succeeded("fine") >= before + 3, "the other one goes on")
    assert process.stop() == 0
    assert {succeeded(label) for label in REASONS} == {0}
    failed = Run.objects.filter(label="deleted module", state=RunState.FAILED)
    assert {run.reason for run in failed} == {REASONS["deleted module"]}

    rows = rows_of(browser_of_superuser().get(TASKS))
    for label, reason in REASONS.items():
        [row] = [row for row in rows if row.startswith(label)]
        assert reason[:70] in row, reason
    for task in Task.objects.filter(label__in=REASONS):
        page = browser_of_superuser().get(f"{TASKS}{task.pk}/change/")
        assert REASONS[task.label] in text_of(page)
