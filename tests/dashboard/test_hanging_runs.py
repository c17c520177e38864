"""The alert of a run that takes too long says what a person asks next."""

import pytest

from sisy.models import Alert, Run, RunState, Task
from sisy.records.problems import Kind
from sisy.runtime.journal import Report
from sisy.store.run_output import write_while_running
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.commands.calling import said, told
from tests.support.clocks import clock_at
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import open_alert, scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TIME = "Run #{} has been running for 20 min. Its typical duration is 3 s."
NEXT = (
    "The next run is due at 2026-05-05 13:00:00 UTC. If this one is still running then, the new "
    "run will be"
)


@pytest.fixture
def hanging():
    """Return an open alert about a run that has been running for 20 minutes."""
    task, process = scheduled("0 * * * *", label="newsletter"), worker()
    times = {"started_at": NOON - 4 * SECOND, "finished_at": NOON - SECOND}
    task.new_run(now=NOON, state=RunState.SUCCEEDED, **times).save()
    task.run_now()
    [run] = claim(process, ["default"], 1, NOON + MINUTE)
    report = Report(head="one\nConnecting …\n\n", written=20, progress=None)
    write_while_running("default", [(run, report)], NOON + MINUTE)
    why = "A run is taking longer than the expected 15 s."
    alert = open_alert(task, Kind.SLOW, NOON + 2 * MINUTE, run_id=run.pk, why=why)
    with clock_at(NOON + 21 * MINUTE):
        yield alert


def alerts_for(browser):
    return text_of(browser.get("/sisy/?parts=alerts"))


def test_it_says_how_long_it_runs_and_what_becomes_of_the_next_run(hanging):
    text, time = alerts_for(browser_of_superuser()), TIME.format(hanging.run_id)
    assert f"{time} The last line that it printed: 'Connecting …'. {NEXT} skipped." in text
    assert time in said("sisy_status")
    assert time in told(f"sisy_alerts show {hanging.pk}")["hanging"]


def test_what_a_run_printed_is_shown_to_those_who_may_see_it(hanging):
    text = alerts_for(browser_of("view_task"))
    assert f"{TIME.format(hanging.run_id)} {NEXT}" in text
    assert "Connecting" not in text


def test_a_task_whose_runs_may_overlap_has_no_words_about_the_next_run(hanging):
    Task.objects.filter(pk=hanging.task_id).update(overlap="allow")
    assert "The next run is due" not in alerts_for(browser_of_superuser())


def test_a_task_without_a_timeout_says_so(hanging):
    words = "The task has no timeout that would end it."
    assert words in alerts_for(browser_of_superuser())
    Task.objects.filter(pk=hanging.task_id).update(timeout=HOUR)
    assert words not in alerts_for(browser_of_superuser())


def test_an_alert_about_a_paused_task_says_so(hanging):
    Task.objects.get(pk=hanging.task_id).pause("The supplier is down.", NOON + 2 * HOUR)
    words = "The task is paused until 2026-05-05 14:00:00 UTC (The supplier is down)."
    assert words in alerts_for(browser_of_superuser())
    assert words in said("sisy_status")
    assert told(f"sisy_alerts show {hanging.pk}")["paused"] == words


def test_a_run_that_has_ended_in_the_meantime_has_no_such_words(hanging):
    Run.objects.filter(pk=hanging.run_id).update(state="failed", finished_at=NOON)
    assert "has been running" not in alerts_for(browser_of_superuser())


@pytest.mark.parametrize(("times", "words"), [(1, "recurred once"), (2, "recurred 2 times")])
def test_an_alert_that_opened_again_says_so_beside_its_start(hanging, times, words):
    Alert.objects.update(reopened=times)
    since = "12:02:00"
    assert f"since {since} , {words}" in alerts_for(browser_of_superuser())
    assert f"{since} , {words}" in text_of(browser_of_superuser().get("/sisy/alerts/"))
    shown = said(f"sisy_alerts show {hanging.pk}")
    assert f"2026-05-05 {since} UTC, {words}" in shown
    assert "reopened" not in shown
    assert told(f"sisy_alerts show {hanging.pk}")["reopened"] == times
    assert f"{words[0].upper()}{words[1:]}. A run is taking" in said("sisy_alerts list")
    assert f"Since 2026-05-05 {since} UTC, {words}." in said("sisy_status")


def test_an_alert_that_has_not_recurred_says_nothing_about_it(hanging):
    for line in ("sisy_alerts list", f"sisy_alerts show {hanging.pk}", "sisy_status"):
        assert "ecurred" not in said(line)
    assert "recurred" not in alerts_for(browser_of_superuser())


@pytest.mark.parametrize("kind", [Kind.SLOW, Kind.STALLED, Kind.LATE])
def test_the_page_of_a_run_that_has_ended_does_not_advise_to_cancel_it(hanging, kind):
    """A heartbeat closes the alert some seconds later."""
    Alert.objects.update(kind=kind)
    browser, address = browser_of_superuser(), f"/sisy/runs/{hanging.run_id}/"
    assert "Open alerts" in text_of(browser.get(f"{address}?parts=alerts"))
    Run.objects.filter(pk=hanging.run_id).update(state="cancelled", finished_at=NOON)
    assert "Open alerts" not in text_of(browser.get(f"{address}?parts=alerts"))
    # The alert about its failure stays.
    Alert.objects.update(kind=Kind.FAILING)
    assert "Open alerts" in text_of(browser.get(f"{address}?parts=alerts"))
