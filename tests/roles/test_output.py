"""What runs print and report is stored by their own worker, while they run and at their end."""

import pytest
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import retention, tick
from sisy.heartbeat.retention import OutputRounds, Rounds, prune_backlog, prune_history
from sisy.lifecycle.release import release_running
from sisy.models import Run, RunOutput, RunState
from sisy.runtime.journal import Report
from sisy.runtime.loop import ENDLESS
from sisy.runtime.progress import Progress
from sisy.store import run_output
from sisy.store.run_output import write_while_running
from sisy.worker import output as storing
from sisy.worker.claim import claim
from tests.roles.steps import DAY, LEASE, MINUTE, NOON, SECOND, finish, held_run, worker
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

LINE = Report(head="a line\n", written=7)


def kept(run=None):
    """Return the stored text of all attempts, oldest first."""
    rows = RunOutput.objects.order_by("run_id", "attempt")
    rows = rows.filter(run_id=run.pk) if run else rows
    return [(row.attempt, row.head + row.tail) for row in rows]


def write(run, head, now=NOON, **fields):
    """Write what a run has printed so far, as its worker does; return whether it could."""
    report = Report(head=head, written=len(head), **fields)
    return write_while_running("default", [(run, report)], now) == [run]


def test_what_a_run_prints_is_stored_while_it_runs_and_at_its_end():
    run = held_run(worker())
    assert write(run, "one\n")
    assert write(run, "one\ntwo\n")
    assert kept() == [(1, "one\ntwo\n")]
    finish(run, NOON, report=Report(head="one\ntwo\nthree\n", written=14))
    assert kept() == [(1, "one\ntwo\nthree\n")]
    assert RunOutput.objects.get().written == 14


def test_a_run_that_is_silent_has_no_row_and_costs_no_statement():
    run = held_run(worker())
    with CaptureQueriesContext(connection) as queries:
        finish(run, NOON)
    assert not [one for one in queries if "sisy_run_output" in one["sql"]]
    assert kept() == []


def test_each_attempt_keeps_its_own_output():
    run = held_run(worker(), max_attempts=2)
    finish(run, NOON, state=RunState.FAILED, report=LINE)
    assert stored(run).state == RunState.QUEUED
    run.refresh_from_db()
    again = held_again(run)
    finish(again, NOON, report=Report(head="better\n", written=7))
    assert kept(run) == [(1, "a line\n"), (2, "better\n")]


def held_again(run, now=NOON + DAY):
    [again] = claim(worker(now), ["default"], 1, now)
    assert again.pk == run.pk
    return again


def test_a_zombie_whose_lease_was_taken_over_changes_nothing():
    scheduled()
    tick("default", NOON + MINUTE)
    [zombie] = claim(worker(NOON + MINUTE, LEASE), ["default"], 10, NOON + MINUTE)
    assert write(zombie, "before\n")
    later = NOON + MINUTE + LEASE + SECOND
    tick("default", later)
    assert not write(zombie, "before\nafter\n", later)
    [again] = claim(worker(later, LEASE), ["default"], 10, later)
    assert not write(zombie, "before\nafter\n", later)
    assert write(again, "anew\n", later)
    finish(zombie, later, report=LINE)
    assert kept() == [(1, "before\n"), (2, "anew\n")]


def test_a_zombie_changes_nothing_beside_the_attempt_that_follows_it():
    """Both may be executed by one worker, which stores their reports together."""
    run = held_run(worker(NOON, LEASE))
    assert write(run, "before\n")
    later = NOON + LEASE + SECOND
    tick("default", later)
    again = held_again(run, later)
    reports = [(run, Report(head="before\nafter\n", written=13)), (again, LINE)]
    written = write_while_running("default", reports, later)
    assert [one.attempt for one in written] == [2]
    assert kept() == [(1, "before\n"), (2, "a line\n")]


def test_a_released_attempt_leaves_its_place_to_the_next_worker():
    """Releasing a run refunds its attempt, so two workers execute an attempt of one number."""
    run = held_run(worker())
    write(run, "cut off\n")
    release_running("default", [run], "Its worker stopped", NOON)
    again = held_again(run)
    assert again.attempt == run.attempt
    assert not write(run, "cut off\nand more\n")
    assert write(again, "anew\n")
    assert kept() == [(1, "anew\n")]


def test_a_late_report_never_replaces_the_last_one():
    run = held_run(worker())
    finish(run, NOON, report=Report(head="all of it\n", written=10))
    assert not write(run, "all\n")
    assert kept() == [(1, "all of it\n")]


def test_many_reports_are_written_in_parts(monkeypatch):
    monkeypatch.setattr(run_output, "MAX_CHARACTERS", 10)
    holder = worker()
    runs = [held_run(holder, label=f"task {n}") for n in range(4)]
    reports = [(run, Report(head=f"{n}" * 6, written=6)) for n, run in enumerate(runs)]
    assert write_while_running("default", reports, NOON) == runs
    assert [text for _, text in kept()] == ["000000", "111111", "222222", "333333"]


def test_hostile_text_is_stored():
    run = held_run(worker())
    text = "ä🙂\x1b[31m{}%s%(now)s\\0'\"\n"
    assert write(run, text, progress=Progress(1, 3, "50 % \0 \ud800 'x'", 0.0))
    assert kept() == [(1, text)]
    assert RunOutput.objects.get().message == "50 % \\0 \\ud800 'x'"


def test_progress_is_stored_with_its_moment(monkeypatch):
    monkeypatch.setattr(run_output, "monotonic", lambda: 100.0)
    run = held_run(worker())
    write(run, "", progress=Progress(3, 10, "three", 95.0))
    row = RunOutput.objects.get()
    assert (row.done, row.total, row.message) == (3, 10, "three")
    assert (row.progressed_at, row.updated_at) == (NOON - 5 * SECOND, NOON)


def test_an_outcome_is_recorded_even_if_its_output_cannot_be_stored(monkeypatch):
    run = held_run(worker())
    monkeypatch.setattr("sisy.worker.record.write_reports", rejects)
    finish(run, NOON, report=LINE)
    assert stored(run).state == RunState.SUCCEEDED
    assert kept() == []


def rejects(*args):
    raise DataError("the database does not like it")


def test_a_report_that_is_rejected_does_not_stop_the_others(monkeypatch, caplog):
    holder = worker()
    bad, good = (held_run(holder, label=label) for label in ("bad", "good"))
    real = write_while_running

    def picky(using, reported, now):
        if any(run == bad for run, _ in reported):
            raise DataError("the database does not like it")
        return real(using, reported, now)

    monkeypatch.setattr(storing, "write_while_running", picky)
    storing._store("default", [(bad, LINE), (good, LINE)])
    assert kept(good) == [(1, "a line\n")]
    assert f"Could not store the output of run {bad.pk}" in caplog.text


def test_output_goes_with_its_run():
    run, other = (held_run(worker(), label=label) for label in ("one", "two"))
    for each in (run, other):
        finish(each, NOON, report=LINE)
    stored(run).delete()
    assert kept(run) == []
    Run.objects.filter(pk=other.pk).delete()
    assert kept() == []


def test_output_is_pruned_with_its_run(settings):
    settings.SISY_HISTORY_DAYS = 3
    run = held_run(worker())
    finish(run, NOON, report=LINE)
    prune_history("default", NOON + 2 * DAY)
    assert kept() == [(1, "a line\n")]
    prune_history("default", NOON + 4 * DAY)
    assert (kept(), Run.objects.count()) == ([], 0)


def test_output_is_deleted_before_its_run_if_it_is_kept_for_fewer_days(settings):
    settings.SISY_OUTPUT_DAYS = 2
    holder = worker()
    old, new = (held_run(holder, label=label) for label in ("old", "new"))
    finish(old, NOON, report=LINE)
    write(new, "a line\n", NOON + DAY)
    tick("default", NOON + 2 * DAY + SECOND)
    assert (kept(old), kept(new)) == ([], [(1, "a line\n")])
    assert Run.objects.count() == 2


def test_with_0_days_output_is_kept_as_long_as_its_run(settings):
    settings.SISY_OUTPUT_DAYS = 0
    write(held_run(worker()), "a line\n")
    assert OutputRounds("default").prune(NOON + 1000 * DAY) == 0
    assert kept()


def test_much_old_output_is_deleted_in_batches(settings, monkeypatch):
    monkeypatch.setattr(retention, "OUTPUT_BATCH", 2)
    settings.SISY_HISTORY_DAYS = 0
    holder = worker()
    for number in range(5):
        finish(held_run(holder, label=f"{number}"), NOON, report=LINE)
    rounds = Rounds("default")
    assert rounds.output.prune(NOON + 8 * DAY) == 2
    assert rounds.has_more
    prune_backlog("default", NOON + 8 * DAY, rounds, ENDLESS)
    assert (kept(), rounds.has_more, Run.objects.count()) == ([], False, 5)
