"""What a run came to: its error first, and a return value only if it has returned."""

import pytest

from sisy.models import Run, RunState
from tests.admin.people import browser_of_superuser
from tests.support.moments import NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def run_in(state, **columns):
    run = scheduled().run_now()
    started = None if state == RunState.QUEUED else NOON
    columns = {"state": state, "started_at": started, **columns}
    if state not in (RunState.QUEUED, RunState.RUNNING):
        columns["finished_at"] = NOON + SECOND
    Run.objects.filter(pk=run.pk).update(**columns)
    return run


def page_of(run):
    return browser_of_superuser().get(f"/sisy/runs/{run.pk}/?parts=head,what").content.decode()


@pytest.mark.parametrize("state", [one for one in RunState if one != RunState.SUCCEEDED])
def test_a_run_that_has_not_returned_shows_no_return_value(state):
    page = page_of(run_in(state))
    assert "returned" not in page.lower()
    assert "null" not in page


@pytest.mark.parametrize(("result", "shown"), [(None, "null"), ({"n": 7}, "7"), ([], "[]")])
def test_a_run_that_succeeded_shows_what_it_returned(result, shown):
    _, _, behind = page_of(run_in(RunState.SUCCEEDED, result=result)).partition("Return value")
    assert shown in behind


def test_a_value_that_was_not_stored_is_not_said_to_be_null():
    reason = "The return value was not stored: JSON cannot represent it."
    assert "null" not in page_of(run_in(RunState.SUCCEEDED, reason=reason))


def test_the_error_comes_first():
    run = run_in(RunState.FAILED, error="Traceback: no anvils", error_class="builtins.KeyError")
    page = page_of(run)
    assert page.index("no anvils") < page.index("Message")


def test_the_error_of_a_run_that_is_tried_again_is_one_of_an_attempt():
    run = run_in(RunState.QUEUED, error="Traceback: no anvils", attempt=1)
    assert "Error of the previous attempt" in page_of(run)
