"""A task whose latest run succeeded is not reported as failing."""

import pytest

from sisy.models import RunState
from sisy.reports.errors import failing
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_a_task_that_succeeded_has_recovered_whatever_was_skipped_since():
    task = scheduled("0 0 1 1 *", label="report")
    states = [RunState.FAILED, RunState.SUCCEEDED, *[RunState.SKIPPED] * 4]
    for number, state in enumerate(states):
        at = NOON - HOUR + number * MINUTE
        task.new_run(now=at, due_at=at, state=state, started_at=at, finished_at=at).save()
    [group], _ = failing("default", NOON)
    assert (group.number, group.of, group.has_recovered) == (1, 2, True)
