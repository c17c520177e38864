"""Commands about a task whose time zone does not exist any more say so, without a traceback."""

import pytest
from django.core.management import CommandError

from sisy.models import Task
from tests.commands.calling import said
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

# The name of a folder of the zone database, a zone that was removed, and no name at all.
ZONES = ["America", "Mars/Phobos", ""]


@pytest.fixture(params=ZONES)
def zone(request):
    task = scheduled(label="tea")
    task.run_now()
    Task.objects.filter(pk=task.pk).update(timezone=request.param)
    return request.param


@pytest.mark.parametrize(
    "line",
    [
        "sisy_tasks pause tea --until 2026-06-01T00:00",
        "sisy_tasks backfill tea 2026-05-01 2026-05-02",
        "sisy_tasks backfill tea 2026-05-01 2026-05-02 --dry-run",
    ],
)
def test_a_moment_without_a_zone_is_rejected_with_the_fix(line, zone):
    with pytest.raises(CommandError, match=r"time zone.*Correct the task, or use a moment with"):
        said(line)


def test_a_moment_with_an_offset_is_accepted(zone):
    said("sisy_tasks pause tea --until 2026-06-01T00:00+00:00")
    assert Task.objects.get().state == "paused"


@pytest.mark.parametrize("line", ["sisy_tasks why tea", "sisy_runs show tea", "sisy_tasks list"])
def test_the_task_is_still_shown(line, zone):
    assert said(line)


def test_a_folder_of_the_zone_database_is_not_a_zone():
    scheduled(label="tea")
    with pytest.raises(CommandError, match="neither a valid date and time nor a run"):
        said("sisy_tasks why tea '11:00 America/Argentina'")
