"""An alert has the icon of the state it is about, wherever it is shown."""

import pytest

from sisy.dashboard.icons import ALERT_ICONS, ICONS
from sisy.models import RunState, TaskState
from sisy.records.problems import Kind
from tests.admin.pages import text_of
from tests.admin.people import browser_of_superuser
from tests.dashboard.test_recorded_alerts import opened, up
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_a_kind_with_the_name_of_a_state_has_the_icon_of_that_state():
    # A queue whose runs are delayed is more than a queued run.
    same = {*Kind.values} & {*RunState.values, *TaskState.values} - {RunState.QUEUED}
    assert same == {"broken", "failed", "lost", "missed"}
    assert {kind: ALERT_ICONS[kind] for kind in same} == {state: ICONS[state] for state in same}


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (Kind.MISSED, "◌ missed"),
        (Kind.FAILING, "✕ failing"),
        (Kind.LOST, "⚡ lost"),
        (Kind.LATE, "◷ late"),
        (Kind.SILENT, "! silent"),
    ],
)
@pytest.mark.parametrize("page", ["/sisy/?parts=alerts", "/sisy/tasks/", "/sisy/tasks/{}/"])
def test_an_alert_has_the_icon_of_its_state_on_each_page(kind, shown, page):
    up()
    task = scheduled("0 0 1 1 *", label="import")
    opened(kind, f"task:{task.pk}", task_id=task.pk)
    assert shown in text_of(browser_of_superuser().get(page.format(task.pk)))
