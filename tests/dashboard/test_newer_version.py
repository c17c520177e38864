"""Pages and commands show what a newer version has stored, and this one does not know."""

import pytest

from sisy.models import Alert, Run, RunState, Task
from tests.admin.pages import text_of
from tests.admin.people import browser_of_superuser
from tests.commands.calling import said
from tests.support.moments import HOUR, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def task():
    return scheduled("0 0 1 1 *", label="import", overlap="allow")


def shown(address):
    return text_of(browser_of_superuser().get(address))


@pytest.mark.parametrize(
    "address",
    ["/sisy/", "/sisy/?by=queue", "/sisy/runs/", "/sisy/tasks/", "/sisy/tasks/{task}/"],
)
def test_a_run_in_an_unknown_state_is_shown(address, task):
    for number, state in enumerate(["parked", "parked", RunState.FAILED]):
        at = NOON - HOUR + number * SECOND
        run = task.new_run(now=at, due_at=at, state=state, started_at=at, finished_at=at)
        run.save()
    Run.objects.exclude(state=RunState.FAILED).update(state="parked")
    assert "import" in shown(address.format(task=task.pk))


def test_the_page_of_a_run_in_an_unknown_state_is_shown(task):
    at = NOON - HOUR
    run = task.new_run(now=at, due_at=at, started_at=at, finished_at=NOON, attempt=1)
    run.save()
    Run.objects.update(state="parked")
    assert "parked" in shown(f"/sisy/runs/{run.pk}/")


@pytest.mark.parametrize("column", ["overlap", "missed"])
def test_an_unknown_policy_is_shown_by_its_name(column, task):
    Task.objects.update(**{column: "when_it_rains"})
    assert "when_it_rains" in shown(f"/sisy/tasks/{task.pk}/")


def test_a_task_in_a_zone_that_does_not_exist_any_more_is_shown(task):
    for zone in ("America", "Mars/Phobos", ""):
        Task.objects.update(timezone=zone)
        assert "import" in shown(f"/sisy/tasks/{task.pk}/")


@pytest.fixture
def alert(task):
    return Alert.objects.create(
        kind="eclipse",
        subject=f"task:{task.pk}",
        task_id=task.pk,
        open_key="eclipse",
        label="import",
        why="The sun is gone.",
        since=NOON,
        opened_at=NOON,
    )


def test_an_alert_of_an_unknown_kind_is_shown(task, alert):
    for address in ("/sisy/", f"/sisy/tasks/{task.pk}/"):
        assert "The sun is gone." in shown(address)
    for command in ("sisy_status", "sisy_top --once", f"sisy_alerts show {alert.pk}"):
        assert "The sun is gone." in said(command)
