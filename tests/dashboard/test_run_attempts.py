"""The attempts of a run on its page: the waterfall, its text, and what blocks a queued run."""

import re
from datetime import timedelta

import pytest

from sisy.dashboard.charts import waterfall as chart
from sisy.dashboard.charts.waterfall import waterfall
from sisy.heartbeat import tick
from sisy.lifecycle.release import release_running
from sisy.models import Attempt, Run, RunState
from sisy.reports.phases import PhaseKind, attempts_of
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.roles.steps import finish, held_run
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DELAYED, QUEUED, WAITED, RUNNING = (
    PhaseKind.DELAYED,
    PhaseKind.QUEUED,
    PhaseKind.WAITED,
    PhaseKind.RUNNING,
)


def page_of(run, part):
    client = browser_of("view_task", "view_run_details")
    return client.get(f"/sisy/runs/{run.pk}/?parts={part}")


def run_of(state=RunState.SUCCEEDED, **columns):
    run = scheduled("0 0 1 1 *").run_now()
    for name, value in {"state": state, "attempt": 1, **columns}.items():
        setattr(run, name, value)
    run.save()
    return run


def attempt_of(run, number, begun, ended, state=RunState.FAILED):
    columns = {"started_at": begun, "finished_at": ended}
    return Attempt.objects.create(run=run, number=number, state=state, **columns)


def phases_of(run, now=NOON + 10 * MINUTE):
    """Return the phases of each attempt, in seconds since noon."""
    return [
        (one.number, one.state, [_seconds(phase) for phase in one.phases])
        for one in attempts_of(run, list(Attempt.before(run)), now)
    ]


def _seconds(phase):
    return phase.kind, (phase.start - NOON).seconds, (phase.end - NOON).seconds


def at(seconds):
    return NOON + seconds * SECOND


def test_a_run_is_delayed_then_queued_then_running():
    run = run_of(ready_at=at(5), started_at=at(7), finished_at=at(9))
    phases = [(DELAYED, 0, 5), (QUEUED, 5, 7), (RUNNING, 7, 9)]
    assert phases_of(run) == [(1, "succeeded", phases)]


def test_earlier_attempts_show_how_long_they_waited_in_all():
    run = run_of(attempt=3, ready_at=at(60), started_at=at(61), finished_at=at(70))
    attempt_of(run, 1, at(2), at(4))
    attempt_of(run, 2, at(10), at(20), RunState.LOST)
    assert phases_of(run) == [
        (1, "failed", [(WAITED, 0, 2), (RUNNING, 2, 4)]),
        (2, "lost", [(WAITED, 4, 10), (RUNNING, 10, 20)]),
        (3, "succeeded", [(DELAYED, 20, 60), (QUEUED, 60, 61), (RUNNING, 61, 70)]),
    ]


def test_a_retry_in_the_future_is_delayed_until_then():
    run = run_of(RunState.QUEUED, attempt=1, ready_at=at(1000))
    attempt_of(run, 1, at(2), at(4))
    assert phases_of(run)[1:] == [(2, "queued", [(DELAYED, 4, 1000)])]


def test_a_queued_run_and_a_running_one_last_until_now():
    assert phases_of(run_of(RunState.QUEUED, attempt=0)) == [(1, "queued", [(QUEUED, 0, 600)])]
    running = run_of(RunState.RUNNING, started_at=at(7))
    assert phases_of(running) == [(1, "running", [(QUEUED, 0, 7), (RUNNING, 7, 600)])]


def test_a_run_released_by_a_stopping_worker_was_running_until_then():
    run = held_run(worker())
    release_running("default", [run], "Its worker stopped", at(300))
    run.refresh_from_db()
    assert phases_of(run) == [
        (1, "queued", [(RUNNING, 0, 300), (DELAYED, 300, 305), (QUEUED, 305, 600)])
    ]
    assert run.lateness is None
    assert "since 12:00:00" not in text_of(page_of(run, "head"))
    assert "Delay" not in text_of(page_of(run, "head"))


def test_a_run_cancelled_while_queued_was_never_executed():
    run = run_of(RunState.CANCELLED, attempt=0, finished_at=at(30))
    assert phases_of(run) == [(0, "cancelled", [(QUEUED, 0, 30)])]


def test_an_attempt_that_was_lost_before_it_started_has_no_phase():
    run = run_of(attempt=2, ready_at=NOON, started_at=at(40), finished_at=at(50))
    attempt_of(run, 1, None, at(30), RunState.LOST)
    assert [number for number, _, phases in phases_of(run) if not phases] == [1]


def test_a_gap_and_an_occurrence_that_never_ran_have_no_chart():
    gap = run_of(RunState.MISSED, count=3, attempt=0, finished_at=NOON)
    skipped = run_of(RunState.SKIPPED, attempt=0, finished_at=NOON)
    for run in (gap, skipped):
        assert waterfall(attempts_of(run, [], NOON)) is None
        assert "sisy-waterfall" not in page_of(run, "steps").content.decode()


def test_the_bars_fill_the_width_and_the_axis_counts_from_the_beginning():
    run = run_of(ready_at=NOON, started_at=at(10), finished_at=at(40))
    drawn = waterfall(attempts_of(run, [], NOON))
    assert [(bar.x, bar.width) for bar in drawn.tracks[0].bars] == [(0, 25), (25, 75)]
    assert [words for _, words in drawn.ticks] == ["0 s", "10 s", "20 s", "30 s", ""]


@pytest.mark.parametrize("span", [timedelta(milliseconds=1), 7 * SECOND, timedelta(days=9000)])
def test_the_axis_has_few_ticks_whatever_the_run_took(span):
    run = run_of(ready_at=NOON, started_at=NOON, finished_at=NOON + span)
    ticks = waterfall(attempts_of(run, [], NOON)).ticks
    assert 2 <= len(ticks) <= chart.MAX_TICKS + 1
    assert all(0 <= place <= 100 for place, _ in ticks)


def test_only_the_latest_of_very_many_attempts_are_drawn(monkeypatch):
    monkeypatch.setattr(chart, "MAX_ATTEMPTS_DRAWN", 2)
    run = run_of(attempt=4, ready_at=at(60), started_at=at(61), finished_at=at(70))
    for number in (1, 2, 3):
        attempt_of(run, number, at(number), at(number + 1))
    page = page_of(run, "steps")
    assert "2 earlier attempts are not shown." in text_of(page)
    assert page.content.decode().count('class="sisy-track"') == 2


def test_the_page_draws_each_attempt_and_says_the_same_in_text():
    run = run_of(attempt=2, ready_at=at(60), started_at=at(61), finished_at=at(70))
    attempt_of(run, 1, at(2), at(4))
    page = page_of(run, "steps")
    html, text = page.content.decode(), text_of(page)
    titles = re.findall(r"<title>(.*?)</title>", html)
    assert titles[1] == "running for 2 s, from 2026-05-05 12:00:02 to 2026-05-05 12:00:04"
    assert f'aria-label="Attempt 1: {titles[0]}, {titles[1]}"' in html
    for words in ("attempt 1 started", "attempt 1 failed", "attempt 2 started", "succeeded"):
        assert words in text
    assert "delayed queued" in text  # the legend


def test_a_queued_run_links_to_the_run_that_must_finish_first():
    going = held_run(worker(), label="report", overlap="buffer_one")
    queued = going.task.run_now()
    assert f"Blocked by #{going.pk}" in text_of(page_of(queued, "related"))
    finish(going, NOON)
    assert "Blocked by" not in text_of(page_of(queued, "related"))


def test_the_delay_of_a_run_that_is_caught_up_counts_from_its_due_time():
    scheduled("*/10 * * * *")
    tick("default", at(600))
    tick("default", at(900) + HOUR)
    early, late = Run.objects.exclude(state=RunState.MISSED).order_by("pk")
    assert late.due_at == late.ready_at == at(600) + HOUR
    for run, is_caught_up in ((early, False), (late, True)):
        assert ("Origin schedule caught up" in text_of(page_of(run, "head"))) is is_caught_up
    [gap] = Run.objects.filter(state=RunState.MISSED)
    assert "caught up" not in text_of(page_of(gap, "head"))


def test_the_error_comes_first_and_then_the_facts():
    run = held_run(worker())
    finish(run, NOON, RunState.FAILED, reason="KeyError", error="Traceback\nKeyError")
    text = text_of(page_of(run, "head"))
    assert text.index("Traceback") < text.index("Origin")


def test_the_commands_fit_the_state_of_the_run():
    run = scheduled("0 0 1 1 *").run_now()
    shown = [text_of(page_of(run, "commands"))]
    [run] = claim(worker(), ["default"], 1, NOON)
    shown.append(text_of(page_of(run, "commands")))
    finish(run, NOON)
    shown.append(text_of(page_of(run, "commands")))
    verbs = [re.findall(rf"sisy_runs (\w+) {run.pk}", text) for text in shown]
    assert verbs == [["show", "cancel"], ["show", "logs", "cancel"], ["show", "retry"]]
    assert f"python manage.py sisy_tasks history {run.task_id}" in shown[0]
