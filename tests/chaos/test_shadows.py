"""What is broken, and how long that excuses lateness: neither too little nor too much."""

import pytest

from tests.chaos import backlog, disturbances, execution_log
from tests.chaos.drops import AFTER, BEFORE, OF_ROLES
from tests.chaos.evidence import LONGEST_LEAD, Disturbance, Execution, Life, Row
from tests.chaos.execution_log import FOLDER, MEMBER, read, write
from tests.chaos.journal import READING_ERROR, Change, active
from tests.chaos.nemesis import plan

MEMBERS = ["heartbeat-1", "heartbeat-2", "worker-1", "worker-2", "worker-3"]
OUTAGE = Disturbance(what="an outage", span=(100.0, 110.0))


def late_starts(count, due, start):
    """Return rows and executions of so many tasks that all start late."""
    rows = [
        Row(id=n, key=f"task-{n}", origin="schedule", state="succeeded", due=due, planned=due)
        for n in range(count)
    ]
    executions = [
        Execution(
            key=row.key,
            run=row.id,
            due=due,
            attempt=1,
            member=1,
            start=start,
            called=(start, start),
            end=start,
            outcome="ok",
        )
        for row in rows
    ]
    return rows, executions


def test_the_backlog_of_an_outage_belongs_to_it():
    assert backlog.extended([OUTAGE], *late_starts(30, 108.0, 125.0))[0].span[1] > 125


def test_a_few_runs_that_are_stuck_are_no_backlog():
    assert backlog.extended([OUTAGE], *late_starts(3, 108.0, 125.0)) == [OUTAGE]


def test_a_backlog_that_begins_by_itself_excuses_nothing():
    assert backlog.extended([OUTAGE], *late_starts(30, 115.0, 125.0)) == [OUTAGE]


def life(name, started, **facts):
    return Life(member=1, name=name, started=started, **facts)


def test_a_role_is_disturbed_only_while_too_few_of_it_work():
    lives = [
        life("worker-1", 0, died=(50.0, 50.0)),
        life("worker-2", 0, frozen=[(60.0, 70.0)]),
        life("heartbeat-1", 0),
    ]
    found = disturbances.of_the_fleet(lives, "worker", 100.0, 1, after=1)
    assert [each.span for each in found] == [(60.0, 71.0)]
    assert disturbances.of_the_fleet(lives, "heartbeat", 100.0, 1, after=1) == []


def test_seconds_covered_twice_count_once():
    other = Disturbance(what="another", span=(105.0, 120.0))
    assert disturbances.covered([OUTAGE, other]) == 20


def test_the_same_seed_plans_the_same():
    def planned(seed):
        return plan(seed, 300, MEMBERS, "postgres", "valkey", 5)

    assert planned(1) == planned(1)
    assert planned(1) != planned(2)


def test_a_minute_contains_each_kind_of_fault_and_ends_calmly():
    steps = plan(1, 60, MEMBERS, "postgres", "valkey", 5)
    done = {(step.do, step.to.partition("-")[0]) for step in steps}
    assert done >= {
        ("kill", "heartbeat"),
        ("kill", "worker"),
        ("stop", "database"),
        ("stop", "layer"),
        ("flush", "layer"),
        ("flood", "layer"),
        ("break", "connection"),
        ("drop", "heartbeat"),
        ("drop", "worker"),
        ("hold", "snapshot"),
        ("release", "snapshot"),
    }
    assert {"tell to end", "freeze"} <= {step.do for step in steps}


def test_ten_minutes_break_each_kind_of_statement_before_and_after():
    steps = plan(1, 600, MEMBERS, "postgres", "valkey", 5)
    done = {
        (step.to.partition("-")[0], *step.how.split()[:2]) for step in steps if step.do == "drop"
    }
    assert done == {
        (role, when, kind)
        for role, kinds in OF_ROLES.items()
        for kind in kinds
        for when in (BEFORE, AFTER)
    }


def test_a_snapshot_is_held_for_a_minute_or_a_part_of_a_short_run():
    for seconds, length in ((600, 60), (50, 20)):
        steps = plan(1, seconds, MEMBERS, "sqlite", "none", 5)
        held = next(step.at for step in steps if step.do == "hold")
        released = next(step.at for step in steps if step.do == "release")
        assert released - held == pytest.approx(length, abs=0.2)


def test_a_dead_process_is_not_killed_again():
    dead = set()
    for step in plan(5, 600, MEMBERS, "sqlite", "none", 5):
        if step.do in ("kill", "tell to end"):
            assert step.to not in dead
            dead.add(step.to)
        elif step.do == "start":
            dead.remove(step.to)


def test_an_edit_separates_required_from_permitted_occurrences():
    changes = [
        Change(key="task", when=(5.0, 5.0), schedule="* * * * *"),
        Change(key="task", when=(20.0, 21.0), schedule=None),
        Change(key="task", when=(30.0, 31.0), schedule="0 * * * *"),
        Change(key="task", when=(40.0, 42.0), schedule=None),
    ]
    first, second = active(changes, "UTC", start=10.0)
    assert (first.must[1], first.may[1]) == (20.0 - READING_ERROR, 21.0 + LONGEST_LEAD)
    assert (second.may, second.must) == ((30.0, 42.0 + LONGEST_LEAD), (31.0, 40.0 - READING_ERROR))
    assert 9 < first.must[0] < 10


def test_the_log_distinguishes_completed_from_truncated_entries(tmp_path, monkeypatch):
    execution_log._file.cache_clear()
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(MEMBER, "7")
    facts = {"key": "task", "run": 1, "due": 10.0, "attempt": 1}
    write("start", 50.0, call=1, **facts)
    write("start", 51.0, call=2, **facts)
    write("end", 52.0, call=1, outcome="ok")
    ended, cut_off = read(tmp_path, lambda steady: (steady - 1, steady + 1))
    assert (ended.outcome, ended.member, cut_off.end) == ("ok", 7, None)
    assert (ended.called, ended.end - ended.start) == ((49.0, 51.0), 2.0)
