"""Runs are found by everything that people know of them, and no search reads many rows."""

from itertools import count

import pytest

from sisy.models import Process, Run, RunState, Task
from sisy.reports import run_search, walk
from sisy.reports.run_search import RunSearch, find, find_all, processes_named
from tests.roles.steps import finish, held_run
from tests.support import long_ledger
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def ended(state=RunState.SUCCEEDED, at=NOON, **columns):
    """Store a run that ended at a moment, and return its key."""
    task = columns.pop("of", None) or scheduled("0 0 1 1 *", overlap="allow")
    return _stored(task.new_run(now=at), **{"state": state, "finished_at": at, **columns})


def _stored(run, **columns):
    for name, value in columns.items():
        setattr(run, name, value)
    run.save()
    return run.pk


def found(most=50, **fields):
    return [run.pk for run in find("default", RunSearch(**fields), most=most).runs]


def test_an_empty_search_finds_all_runs_newest_first():
    first, second = ended(), ended()
    assert found() == [second, first]


def test_each_field_narrows_the_search():
    ended()
    queue = ended(queue="mail")
    origin = ended(origin="retry")
    function = ended(target_path="shop.jobs.send")
    label = ended(label="letter")
    reason = ended(RunState.FAILED, reason="KeyError: 'x'")
    error = ended(RunState.FAILED, error="Traceback\n  no WATER")
    lost = ended(RunState.LOST)
    assert found(queues=("mail", "other")) == [queue]
    assert found(origins=("retry",)) == [origin]
    assert found(function="jobs.send") == found(function="shop.jobs.send") == [function]
    assert found(function="obs.send") == []
    assert found(label="letter") == [label]
    assert found(text="keyerror") == [reason]
    assert found(text="water") == [error]
    assert found(states=("failed", "lost")) == [lost, error, reason]
    assert found(states=("failed", "succeeded"), text="x'") == [reason]


def test_a_range_has_the_runs_that_were_queued_running_or_ended_in_it():
    ended(at=NOON - 3 * HOUR)
    late = ended(at=NOON - 2 * HOUR, finished_at=None, state=RunState.QUEUED)
    within = ended(RunState.FAILED, at=NOON - 30 * MINUTE)
    now = ended(at=NOON)
    assert found(since=NOON - HOUR) == [now, within, late]
    assert found(since=NOON - HOUR, until=NOON) == [within, late]
    assert found(since=NOON - HOUR, states=("failed",)) == [within]
    assert found(until=NOON - HOUR, states=("queued",)) == [late]


def test_the_runs_of_tasks_are_found_even_if_these_were_deleted():
    task, other = scheduled(overlap="allow"), scheduled(overlap="allow")
    ended()
    runs = [ended(of=task), ended(of=other), ended(RunState.FAILED, of=task)]
    Task.objects.filter(pk=task.pk).delete()
    assert found(tasks=(task.pk, other.pk)) == runs[::-1]
    assert found(tasks=(task.pk,), states=("failed",)) == runs[2:]
    assert found(tasks=(task.pk,), states=("queued",)) == []


def test_live_runs_are_found_by_their_entries():
    going, ours = held_run(worker()), scheduled()
    queued = _stored(ours.new_run(now=NOON))
    ended()
    assert found(states=("queued",)) == [queued]
    assert found(states=("queued", "running")) == [queued, going.pk]
    assert found(states=("queued", "running"), tasks=(ours.pk,)) == [queued]
    finish(going, NOON)
    assert found(states=("running",)) == []


def test_the_runs_of_a_worker_are_found_by_its_name_or_host():
    process = worker()
    run = ended(process_id=process.pk)
    ended()
    for name in (process.host, str(process), f"{process.pid}@{process.host}"):
        assert found(processes=processes_named("default", name)) == [run]
    assert processes_named("default", f"1@{process.host}") == ()
    assert processes_named("default", "elsewhere") == ()
    assert found(processes=()) == []
    Process.all_objects.update(ended_at=NOON)
    assert processes_named("default", process.host) == (process.pk,)


def test_a_search_that_has_found_enough_is_continued_below_its_last_run():
    keys = [ended() for _ in range(5)]
    first = find("default", RunSearch(), most=2)
    assert [run.pk for run in first.runs] == keys[:2:-1]
    assert (first.next_before, first.is_cut_short) == (keys[3], False)
    second = find("default", RunSearch(), before=first.next_before, most=3)
    assert [run.pk for run in second.runs] == keys[2::-1]
    assert second.next_before is None


def test_a_search_stops_at_its_limit_and_says_how_far_it_looked(monkeypatch):
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 4)
    monkeypatch.setattr(walk, "BATCH", 3)
    rare = ended(queue="rare", at=NOON - DAY)
    keys = [ended() for _ in range(6)]
    part = find("default", RunSearch(queues=("rare",)), most=5)
    assert (part.runs, part.looked_at, part.is_cut_short) == ([], 4, True)
    assert (part.next_before, part.back_to) == (keys[2], NOON)
    rest = find("default", RunSearch(queues=("rare",)), before=part.next_before, most=5)
    assert [run.pk for run in rest.runs] == [rare]
    assert (rest.looked_at, rest.back_to, rest.next_before) == (3, NOON - DAY, None)
    parts = list(find_all("default", RunSearch(queues=("rare",)), most=5))
    assert [len(each.runs) for each in parts] == [0, 1]


def test_a_search_stops_when_its_time_is_over(monkeypatch):
    monkeypatch.setattr(walk, "BATCH", 2)
    seconds = count(0, 0.15)
    monkeypatch.setattr(walk.clock, "steady", lambda: next(seconds))
    for _ in range(9):
        ended()
    part = find("default", RunSearch(queues=("rare",)), most=5)
    assert (part.looked_at, part.is_cut_short) == (4, True)


def test_a_search_that_is_repeated_looks_as_far_as_before_in_any_time(monkeypatch):
    monkeypatch.setattr(walk, "BATCH", 2)
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 8)
    monkeypatch.setattr(walk.clock, "steady", lambda: next(seconds))
    rare = ended(queue="rare")
    for _ in range(5):
        ended()
    search = RunSearch(queues=("rare",))
    seconds = count(0, 0.05)
    first = find("default", search, most=5)
    assert [run.pk for run in first.runs] == [rare]
    seconds = count(0, 0.15)  # the database is slower
    assert find("default", search, most=5).runs == []
    again = find("default", search, most=5, least=first.looked_at)
    assert [run.pk for run in again.runs] == [rare]
    for _ in range(5):
        ended()
    assert find("default", search, most=5, least=10**9).looked_at == 8


def test_a_backlog_that_is_too_long_is_walked_by_key(monkeypatch):
    monkeypatch.setattr(run_search, "MAX_LOOKED_AT", 2)
    task = scheduled(overlap="allow")
    keys = [_stored(task.new_run(now=NOON)) for _ in range(4)]
    assert found(states=("queued",)) == keys[::-1]


SEARCHES = [
    {"text": "no such text"},
    {"queues": ("rare",)},
    {"states": ("succeeded",), "text": "no such text"},
    {"states": ("failed", "lost", "missed"), "text": "no such text"},
    {"states": ("queued", "running"), "text": "no such text"},
    {"states": ("queued", "failed"), "text": "no such text"},
    {"label": "nothing", "since": NOON - 20 * DAY, "until": NOON},
]


def test_no_search_reads_more_than_its_limit(monkeypatch):
    limit = 1000
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", limit)
    monkeypatch.setattr(run_search, "MAX_LOOKED_AT", limit)
    monkeypatch.setattr(walk, "MAX_SECONDS", 1e9)
    tasks, _ = long_ledger.store(finished=20_000, queued=3000, running=20)
    several = tuple(task.pk for task in tasks)
    for search in [
        *SEARCHES,
        {"tasks": several[:3], "text": "no"},
        {"tasks": several, "text": "no"},
    ]:
        with long_ledger.reading() as reads:
            part = find("default", RunSearch(**search), most=50)
        assert part.looked_at <= limit
        # Of each run that it looks at: an entry of an index, and the row. Each index has a page
        # more. The sorts of a page and the search for a moment count, too.
        assert sum(rows for _, rows in reads.statements) < 8 * limit + 2000, search


def test_the_page_and_the_walk_never_load_long_columns():
    ended(error="x" * 1000)
    [run] = find("default", RunSearch(), most=1).runs
    assert {"payload", "result", "error"} <= run.get_deferred_fields()
    assert Run.objects.count() == 1


@pytest.mark.parametrize("pid", ["x", "", "-1", "9" * 12])
def test_a_worker_that_cannot_exist_is_not_the_host_that_its_name_ends_with(pid):
    process = worker()
    assert processes_named("default", f"{pid}@{process.host}") == ()
    assert processes_named("default", process.host) == (process.pk,)
