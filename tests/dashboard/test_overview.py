"""The first page: whether all is well, what runs, what comes."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import tick
from sisy.models import Overlap, Process, Queue, Role, Run, RunState, Task
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.roles.steps import LEASE, finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.statements import without_steps

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("now")]

PAGE = "/sisy/"


def shown(*parts, **query):
    named = "&".join(f"{name}={value}" for name, value in query.items())
    response = browser_of("view_task").get(f"{PAGE}?parts={','.join(parts)}&{named}")
    return text_of(response)


def markup(part, **query):
    named = "&".join(f"{name}={value}" for name, value in query.items())
    browser = browser_of("view_task", "view_run_details")
    return browser.get(f"{PAGE}?parts={part}&{named}").content.decode()


def alive(role, **fields):
    return Process.join(role, using="default", now=NOON, lease=LEASE, **fields)


def ran(state=RunState.SUCCEEDED, now=NOON, **columns):
    """Let a new task run once, and end so."""
    task = scheduled(**columns.pop("fields", {}))
    tick("default", now)
    tick("default", now + MINUTE)
    [run] = [run for run in claim(worker(), ["default"], 10, now + MINUTE) if run.task == task]
    finish(run, now + MINUTE, state, **columns)
    return task


def test_the_overview_counts_healthy_and_unresponsive_processes():
    alive(Role.HEARTBEAT)
    alive(Role.WORKER, slots=4)
    silent = alive(Role.WORKER, slots=8)
    Process.objects.filter(pk=silent.pk).update(lease_until=NOON - SECOND)
    text = shown("status")
    assert "Heartbeats 1 last seen 12:00:00" in text
    assert "Workers 1 4 slots" in text
    assert "Unresponsive 1 expired lease " in text


def test_a_site_without_processes_says_so():
    scheduled()
    assert "Heartbeats 0 not running: no new runs" in shown("status")
    text = shown("alerts")
    assert "No heartbeat is running" in text
    assert "No worker serves the queue 'default'" in text


def test_all_clear_is_shown_if_nothing_is_wrong():
    alive(Role.HEARTBEAT)
    alive(Role.WORKER, queues=("default",))
    scheduled()
    assert "All clear Nothing is overdue, and nothing failed or was missed" in shown("alerts")


def test_runs_are_counted_by_outcome_in_the_last_hour_and_day():
    ran()
    ran(RunState.FAILED)
    Run.objects.filter(state=RunState.FAILED).update(finished_at=NOON - 2 * HOUR)
    text = shown("counts")
    assert "✓ succeeded 1 last hour 1 last 24 hours" in text
    assert "✕ failed 0 last hour 1 last 24 hours" in text


def test_missed_occurrences_are_counted_one_by_one():
    scheduled()
    tick("default", NOON)
    tick("default", NOON + 3 * MINUTE + SECOND)
    assert "◌ missed 2 last hour 2 last 24 hours" in shown("counts")


def test_a_count_above_the_limit_is_shown_as_more(monkeypatch):
    monkeypatch.setattr("sisy.reports.ledger.MAX_COUNTED", 1)
    ran()
    assert "✓ succeeded 1+ last hour 1+" in shown("counts")


def test_missed_occurrences_need_attention():
    scheduled(label="sweep")
    tick("default", NOON)
    tick("default", NOON + 3 * MINUTE + SECOND)
    assert "sweep 2 occurrences were missed in the last 24 hours: " in shown("alerts")


def test_an_occurrence_not_planned_in_time_is_late():
    scheduled(label="sweep")
    Task.objects.update(state="active")
    Task._base_manager.update(next_run=NOON - MINUTE)
    assert "sweep The task is due, but no heartbeat has planned it." in shown("alerts")


def test_a_run_that_is_queued_too_long_is_late(at_time):
    scheduled(queue="slow")
    tick("default", NOON)
    tick("default", NOON + MINUTE)
    at_time(NOON + 10 * MINUTE)
    assert "Queue 'slow': 1 run is queued, because the queue 'slow' has no worker" in shown(
        "alerts"
    )


def test_a_broken_task_and_a_paused_queue_need_attention():
    scheduled(label="bad")
    Task._base_manager.update(state="broken", state_reason="No such zone.")
    Queue.objects.pause("default", "Too hot.")
    text = shown("alerts")
    assert "✕ broken bad No such zone." in text
    assert "The queue 'default' has been paused since 2026-05-05 12:00:00 UTC (Too hot)" in text


def test_the_timeline_shows_past_and_upcoming_runs():
    task = scheduled("0 * * * *", label="sweep")
    tick("default", NOON - HOUR)
    Task._base_manager.update(next_run=NOON + HOUR)
    task.new_run(
        now=NOON - HOUR,
        due_at=NOON - HOUR,
        state=RunState.SUCCEEDED,
        attempt=1,
        started_at=NOON - HOUR,
        finished_at=NOON - HOUR + 30 * MINUTE,
    ).save()
    page = markup("timeline")
    [bar] = re.findall(r'<rect class="bar good" x="([\d.]+)%" y="4" width="([\d.]+)%"', page)
    assert float(bar[0]) == pytest.approx(50 - 100 / 12, abs=0.01)
    assert float(bar[1]) == pytest.approx(100 / 24, abs=0.01)
    bars = re.findall(r'<rect class="forecast" x="([\d.]+)%" y="4" width="([\d.]+)%"', page)
    assert len(bars) == 6  # of 13 to 18 o'clock
    assert all(float(width) == pytest.approx(100 / 24, abs=0.01) for _, width in bars[:5])
    assert 'class="now" x1="50%"' in page


def test_upcoming_runs_that_will_overlap_are_highlighted():
    def page_of(**fields):
        Task.objects.all().delete()
        task = scheduled("* * * * *", **fields)
        task.new_run(
            now=NOON,
            state=RunState.SUCCEEDED,
            started_at=NOON - HOUR,
            finished_at=NOON - HOUR + 2 * MINUTE,
        ).save()
        return markup("timeline", hours=1)

    assert "forecast overlaps" in page_of()
    assert "forecast overlaps" not in page_of(overlap=Overlap.ALLOW)


def test_a_task_whose_runs_are_too_many_still_shows_those_that_failed():
    task = scheduled("* * * * * *", label="busy")
    begin = NOON - timedelta(hours=2)
    ended = {"attempt": 1, "state": RunState.SUCCEEDED}
    runs = [
        task.new_run(
            now=begin + n * 30 * SECOND,
            started_at=begin + n * 30 * SECOND,
            finished_at=begin + n * 30 * SECOND,
            **ended,
        )
        for n in range(200)
    ]
    runs[3].state = RunState.FAILED
    Run.objects.bulk_create(runs)
    page = markup("timeline")
    assert 'class="undrawn"' in page
    assert 'class="bar bad"' in page
    assert page.count('class="bar good"') < 150


def test_the_timeline_is_moved_and_zoomed_by_links():
    scheduled("0 0 * * *")
    page = markup("timeline", hours=24, at="2026-05-06T00:00:00%2B00:00")
    assert 'class="now"' in page
    far = markup("timeline", hours=1, at="2026-05-08T00:00:00%2B00:00")
    assert 'class="now"' not in far
    assert "at=2026-05-07T23%3A30%3A00%2B00%3A00" in far


@pytest.mark.parametrize("at", ["yesterday", "2026-05-06", "9999-12-31T23:59:59%2B00:00"])
def test_a_moment_that_cannot_be_read_is_now(at):
    scheduled()
    assert "sisy-track" in markup("timeline", hours="many", at=at)


def test_a_hostile_label_is_escaped():
    ran(fields={"label": "<script>alert(1)</script>"})
    page = browser_of("view_task").get(PAGE).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_overviews_queries_do_not_grow_with_the_tasks():
    alive(Role.HEARTBEAT)
    for n in range(40):
        scheduled("*/5 * * * *", label=f"task {n}")
    tick("default", NOON)
    tick("default", NOON + DAY)
    client = browser_of("view_task")
    client.get(PAGE)
    with CaptureQueriesContext(connection) as seen:
        client.get(PAGE)
    assert len(without_steps(seen)) <= 54


def test_tasks_share_a_row_on_request():
    for n in range(3):
        ran(fields={"label": f"task {n}", "queue": "default"})
    scheduled(label="alone", queue="slow")
    page = markup("timeline", by="queue")
    assert re.findall(r'id="track-(.*?)"', page).count("default") == 1
    assert '?queue=default">default <small>3 tasks</small></a>' in page
    assert ">alone</a>" in page
    assert "by=queue&amp;at=" in page
    by_function = markup("timeline", by="target")
    assert "tests.app.jobs.noop <small>4 tasks</small>" in by_function
    assert "task 1" in markup("timeline", by="nonsense")


def test_runs_of_long_ago_are_found_again():
    task = scheduled("0 0 1 1 *", label="old hand", overlap="allow")
    for days in (3, 0):
        begin = NOON - days * DAY - 5 * HOUR
        Run.objects.bulk_create(
            task.new_run(
                now=begin + n * MINUTE,
                state=RunState.SUCCEEDED,
                started_at=begin + n * MINUTE,
                finished_at=begin + n * MINUTE + SECOND,
            )
            for n in range(150)
        )
    page = markup("timeline", at="2026-05-02T09:00:00%2B00:00")
    assert 'class="bar good"' in page
    assert "2026-05-02" in page
    assert "2026-05-05" not in re.sub(r"at=[^&\"]*", "", page)


def test_the_bars_of_the_timeline_are_well_formed():
    ran()
    svgs = re.findall(r"<svg.*?</svg>", markup("timeline"), re.DOTALL)
    assert any('class="bar' in svg for svg in svgs)
    for svg in svgs:
        assert not re.search(r'=[^"\s>]*/>', svg), svg
