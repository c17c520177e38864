"""Reports say what a reading of the whole ledger says, and never read all of it."""

import random
import re
from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.alerting.capacity import Fleet
from sisy.models import Process, Role, Run, RunState, Task
from sisy.records.choices import FAILED_STATES, TROUBLE_STATES
from sisy.records.small_tables import QueuedRun
from sisy.reports import by_state, errors, fleet, task_errors, walk
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.alert import DEFAULT
from sisy.reports.alerts.health import health
from sisy.reports.alerts.processes import needing_worker, queued_alerts
from sisy.reports.explain import why_queued
from sisy.reports.ledger import ended_counts, live_counts
from sisy.reports.queues import queues
from sisy.reports.run_search import RunSearch, find
from sisy.reports.task_rows import row_of
from sisy.reports.timeline import timeline
from sisy.reports.timeline.window import Window
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.statements import without_steps

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

QUEUES = ("default", "slow", "paused")


@pytest.fixture(params=range(3))
def site(request):
    """Store 300 random runs of four tasks, planned in the last two days; return the tasks."""
    chance = random.Random(request.param)
    tasks = [scheduled("@yearly", label=f"task {number}") for number in range(4)]
    processes = [worker() for _ in range(2)]
    moments = sorted(NOON - chance.random() * 2 * DAY for _ in range(300))
    runs = []
    for planned in moments:
        run = chance.choice(tasks).new_run(now=planned)
        run.state = chance.choice(RunState.values)
        run.queue = chance.choice(QUEUES)
        run.engine = chance.choice(("", "", "celery"))
        run.priority = chance.randint(-2, 2)
        run.ready_at = planned + chance.choice((0, 0, 5000)) * SECOND
        if run.state == RunState.RUNNING:
            run.process = chance.choice(processes)
            run.started_at = planned
        elif run.state != RunState.QUEUED:
            run.started_at = planned
            run.finished_at = planned + chance.choice((1, 60, 3000)) * SECOND
        if run.state in (RunState.MISSED, RunState.SKIPPED):
            run.count = chance.randint(1, 5)
        runs.append(run)
    Run.objects.bulk_create(runs)
    return tasks


def in_python(**columns):
    """Return all runs of the ledger with some values, newest first, selected in Python."""
    return [
        run
        for run in sorted(Run.objects.all(), key=lambda run: -run.pk)
        if all(getattr(run, name) == value for name, value in columns.items())
    ]


@pytest.mark.parametrize("state", RunState.values)
def test_the_pages_of_a_state_list_all_its_runs_newest_first(site, state, monkeypatch):
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 20)
    found, before, pages = [], None, 0
    while pages == 0 or before is not None:
        page = find("default", RunSearch(states=(state,)), before=before, most=7)
        assert len(page.runs) <= 7
        found, before = found + [run.pk for run in page.runs], page.next_before
        pages += 1
    assert found == [run.pk for run in in_python(state=state)]


def test_successful_runs_behind_many_others_are_on_a_later_page(monkeypatch):
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 10)
    task = scheduled("@yearly")
    states = [RunState.SUCCEEDED] + [RunState.SKIPPED] * 25
    runs = [task.new_run(now=NOON, state=state) for state in states]
    Run.objects.bulk_create(runs)
    succeeded = RunSearch(states=("succeeded",))
    first = find("default", succeeded, most=50)
    assert first.runs == []
    second = find("default", succeeded, before=first.next_before, most=50)
    assert second.runs == []
    third = find("default", succeeded, before=second.next_before, most=50)
    assert [run.state for run in third.runs] == ["succeeded"]
    assert third.next_before is None


def test_runs_are_counted_as_in_the_whole_ledger(site):
    live = {each.state: each.number for each in live_counts("default", NOON)}
    assert live == {state: len(in_python(state=state)) for state in ("queued", "running")}
    for span, counted in zip((HOUR, DAY), ended_counts("default", NOON, HOUR, DAY), strict=True):
        expected = Counter()
        for run in in_python():
            if run.finished_at is not None and run.finished_at >= NOON - span:
                expected[run.state] += run.count
        assert {each.state: each.number for each in counted if each.number} == dict(expected)
        assert all(each.is_all for each in counted)


def test_a_count_that_does_not_reach_far_enough_is_a_minimum(site, monkeypatch):
    monkeypatch.setattr(by_state, "MAX_RUNS_WALKED", 20)
    newest = by_state.NewestRuns.of("default")
    well = in_python(state=RunState.SUCCEEDED)
    pks = {run.pk for run in in_python()[:20]}
    expected = [run for run in well if run.pk in pks and run.finished_at >= NOON - DAY]
    found = newest.ended_since(NOON - DAY, 1000, state=RunState.SUCCEEDED)
    assert found == (len(expected), False)
    assert newest.ended_since(NOON - SECOND, 1000)[1]


def test_rates_count_executed_runs_that_ended(site):
    minute, hour = fleet.throughput("default", NOON)
    for rate in (minute, hour):
        ended = [run for run in in_python() if run.finished_at and run.started_at]
        assert rate.number == sum(run.finished_at >= NOON - rate.span for run in ended)


def test_queues_count_their_queued_and_running_runs(site):
    for queue in queues("default", NOON):
        queued = in_python(state=RunState.QUEUED, queue=queue.name, engine="")
        assert queue.queued == len(queued)
        assert queue.oldest == min((run.ready_at for run in queued), default=None)
        running = in_python(state=RunState.RUNNING, queue=queue.name, engine="")
        assert queue.running == len(running)


def test_members_have_the_runs_that_they_execute(site):
    for member in fleet.members("default", NOON):
        going = in_python(state=RunState.RUNNING, process_id=member.process.pk)
        expected = [run.pk for run in sorted(going, key=lambda run: run.started_at)]
        assert [run.pk for run in member.runs] == expected
        assert Fleet.at("default", NOON).busy.get(member.process.pk, 0) == len(expected)


def test_recent_failures_are_those_of_the_whole_ledger(site):
    groups, _ = errors.failing("default", NOON)
    lately = [run for run in in_python() if run.finished_at and run.finished_at >= NOON - DAY]
    failed = Counter(run.task_id for run in lately if run.state in FAILED_STATES)
    ended = failed + Counter(run.task_id for run in lately if run.state == RunState.SUCCEEDED)
    assert {group.key[0]: group.number for group in groups} == dict(failed)
    assert {group.key[0]: group.of for group in groups} == {key: ended[key] for key in failed}
    groups, _ = errors.missed("default", NOON)
    missed = Counter()
    for run in lately:
        if run.state == RunState.MISSED:
            missed[run.task_id] += run.count
    assert {group.key[0]: group.number for group in groups} == dict(missed)


def test_the_errors_of_a_task_are_those_of_its_newest_failures(site, monkeypatch):
    monkeypatch.setattr(task_errors, "MAX_RUNS_READ", 5)
    for task in site:
        failed = [run for run in in_python(task_id=task.pk) if run.state in FAILED_STATES][:5]
        groups = task_errors.errors_of("default", task, NOON).groups
        assert sum(group.count for group in groups) == len(failed)
        assert {group.newest.pk for group in groups} <= {run.pk for run in failed}


def test_runs_need_a_worker_unless_another_run_of_the_task_is_running(site):
    going = {run.task_id for run in in_python(state=RunState.RUNNING)}
    expected = [run for run in in_python(state=RunState.QUEUED) if run.task_id not in going]
    found = needing_worker("default", Fleet.at("default", NOON))
    assert {entry.run_id for entry in found} == {run.pk for run in expected}
    Run.objects.filter(state=RunState.RUNNING).update(state=RunState.SUCCEEDED)
    found = needing_worker("default", Fleet.at("default", NOON))
    assert found.count() == len(in_python(state=RunState.QUEUED))
    alerts = list(queued_alerts("default", NOON, Fleet.at("default", NOON), DEFAULT))
    assert {queue for alert in alerts for queue in alert.queues} <= set(QUEUES)


def test_a_window_in_the_past_shows_the_runs_of_then(site):
    window = Window(start=NOON - 36 * HOUR, end=NOON - 24 * HOUR)
    tracks = timeline("default", [row_of(task) for task in site], window, NOON, in_full=True)
    for track in tracks:
        drawn = sum(bar.count for bar in track.bars)
        inside = [
            run
            for run in in_python(task_id=track.row.task.pk)
            if window.start <= (run.started_at or run.ready_at) < window.end - HOUR
            and run.planned_at < window.end
        ]
        assert drawn >= len(inside) > 0


def test_older_failures_of_a_crowded_task_are_drawn(monkeypatch):
    task = scheduled("@yearly")
    runs = []
    for number in range(400):
        planned = NOON - 400 * MINUTE + number * MINUTE
        state = RunState.FAILED if number == 60 else RunState.SUCCEEDED
        runs.append(
            task.new_run(now=planned, state=state, started_at=planned, finished_at=planned)
        )
    Run.objects.bulk_create(runs)
    window = Window(start=NOON - 400 * MINUTE, end=NOON)
    [track] = timeline("default", [row_of(task)], window, NOON, in_full=True)
    assert [bar.run for bar in track.bars if bar.state == "failed"] == [runs[60].pk]


def of_the_ledger(statements):
    """Return the statements that read the ledger."""
    name = re.compile(r'["`]?\bsisy_run\b["`]?')
    return [each["sql"] for each in statements if name.search(each["sql"])]


REPORTS = {
    "live counts": (lambda: live_counts("default", NOON), 2),
    "ended counts": (lambda: ended_counts("default", NOON, HOUR, DAY), 5),
    "queued": (lambda: find("default", RunSearch(states=("queued",)), most=50), 3),
    "failed": (lambda: find("default", RunSearch(states=("failed",)), most=50), 3),
    "succeeded": (lambda: find("default", RunSearch(states=("succeeded",)), most=50), 3),
    "rates": (lambda: fleet.throughput("default", NOON), 3),
    "queues": (lambda: queues("default", NOON), 8),
    "members": (lambda: fleet.members("default", NOON), 3),
    "failing": (lambda: errors.failing("default", NOON), 6),
    "alerts": (lambda: find_alerts("default", NOON), 22),
    "health": (lambda: health("default", NOON, ["default"], MINUTE), 9),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_takes_few_statements(site, name):
    report, most = REPORTS[name]
    with CaptureQueriesContext(connection) as seen:
        report()
    statements = without_steps(seen)
    assert len(statements) <= most, "\n".join(statements)


def test_reports_of_what_is_queued_do_not_read_the_ledger(site):
    with CaptureQueriesContext(connection) as seen:
        live_counts("default", NOON)
        Fleet.at("default", NOON)
        list(queued_alerts("default", NOON, Fleet.at("default", NOON), DEFAULT))
    assert of_the_ledger(seen) == []


def test_why_a_run_is_queued_reads_the_entries_of_its_queue_and_task(site):
    Process.objects.all().delete()
    Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR, queues=QUEUES, slots=9)
    Task._base_manager.update(overlap="allow")
    for run in in_python(state=RunState.QUEUED, engine="", queue="default"):
        if run.ready_at > NOON:
            continue
        others = in_python(state=RunState.QUEUED, engine="", queue="default")
        ahead = [
            each
            for each in others
            if each.ready_at <= NOON
            and (-each.priority, each.ready_at, each.pk) < (-run.priority, run.ready_at, run.pk)
        ]
        words = why_queued(run, NOON, NOON.tzinfo)
        number = len(ahead)
        assert (f"{number} run" in words and "ahead" in words) or not number, words
    assert QueuedRun.objects.count() == len(in_python(state=RunState.QUEUED))
    assert set(TROUBLE_STATES) >= set(FAILED_STATES)
