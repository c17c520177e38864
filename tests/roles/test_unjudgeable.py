"""A row that raw SQL has spoilt keeps no other problem from being reported."""

import pytest

from tests.roles.test_unreadable import needs_spoilable, spoil
from tests.support.moments import MINUTE

pytestmark = [pytest.mark.django_db, needs_spoilable]


@pytest.mark.parametrize("column", ["planning_since", "created_at"])
def test_a_spoilt_task_keeps_no_other_failure_from_being_reported(site, column):
    spoilt, other = site.idle_task(), site.idle_task(label="import")
    site.fail(spoilt)
    site.fail(other)
    spoil(spoilt, column)
    site.later(60)
    assert ("opened", [("failing", "import")]) in site.told()


def test_a_spoilt_run_keeps_no_other_failure_from_being_reported(site):
    spoilt = site.run(site.idle_task(), "failed")
    site.fail(site.idle_task(label="import"))
    spoil(spoilt, "planned_at")
    site.later(60)
    assert ("opened", [("failing", "import")]) in site.told()


def test_a_spoilt_task_keeps_no_other_task_from_being_found_silent(site):
    spoilt = site.idle_task(success_every=5 * MINUTE)
    site.idle_task(label="backup", success_every=5 * MINUTE)
    spoil(spoilt, "paused_until")
    site.later(12 * 60)
    assert ("opened", [("silent", "backup")]) in site.told()
