"""The checker itself: what is well is found well, and each flaw of doctored logs is found."""

from dataclasses import replace

import pytest

from tests.chaos.checker import check
from tests.chaos.evidence import (
    Active,
    Disturbance,
    Evidence,
    Execution,
    Life,
    Request,
    Rescue,
    Row,
    Subject,
)
from tests.chaos.states import NO_HEARTBEAT
from tests.chaos.verdict import Flaw

START = 1_800_000_000.0
END = START + 10
TAKES = 0.5
SPAN = (START - 0.001, END)
EVERY_TWO_SECONDS = Active(schedule="* * * * * */2", timezone="UTC", may=SPAN, must=SPAN)
MOMENTS = [START + 2 * n for n in range(6)]


def subject(**policies):
    return Subject(key="task", active=(EVERY_TWO_SECONDS,), **policies)


TASK = subject()


def row(number, **columns):
    due = MOMENTS[number]
    given = {
        "id": number,
        "key": "task",
        "origin": "schedule",
        "state": "succeeded",
        "due": due,
        "ready": due,
        "planned": due,
        "started": due,
        "finished": due + TAKES,
        "attempt": 1,
    }
    return Row(**given | columns)


def execution(number, **facts):
    start = facts.get("start", MOMENTS[number])
    given = {
        "key": "task",
        "run": number,
        "due": MOMENTS[number],
        "attempt": 1,
        "member": 1,
        "start": start,
        "called": (start, start),
        "end": start + TAKES,
        "outcome": "ok",
    }
    return Execution(**given | facts)


def evidence(rows=None, executions=None, subject=TASK, lives=(), **more):
    return Evidence(
        horizon=(START, END),
        subjects={"task": subject},
        rows=[row(n) for n in range(6)] if rows is None else rows,
        executions=[execution(n) for n in range(6)] if executions is None else executions,
        lives={life.member: life for life in (life(1), life(2), *lives)},
        existing=more.pop("existing", frozenset({"task"})),
        **more,
    )


def life(member, **facts):
    return Life(member=member, name=f"worker-{member}", started=START - 60, **facts)


def but(number, *instead, what=execution):
    """Return what is well, with the one of that number replaced."""
    return [*(what(n) for n in range(6) if n != number), *instead]


def flaws(given):
    return {finding.flaw for finding in check(given).findings}


def disturbed(start, end):
    return [Disturbance(what="an outage", span=(start, end))]


def test_a_correct_history_has_no_flaw():
    verdict = check(evidence())
    assert verdict.is_ok
    assert (verdict.expected, verdict.explained["executed"]) == (6, 6)
    assert max(verdict.lateness) == 0


def test_an_occurrence_without_execution_and_row_is_missing():
    assert flaws(evidence(but(2, what=row), but(2))) == {Flaw.MISSING}


def test_the_ledger_is_not_believed_that_a_run_was_executed():
    assert flaws(evidence(executions=but(2))) == {Flaw.MISSING, Flaw.UNEXPLAINED}


def test_an_execution_that_no_row_knows_is_extra():
    assert flaws(evidence(rows=but(2, what=row))) == {Flaw.EXTRA}


def test_a_run_at_a_moment_that_the_schedule_does_not_name_is_extra():
    odd = {"due": START + 3, "planned": START + 3, "ready": START + 3}
    given = evidence(
        [*(row(n) for n in range(6)), row(1, id=9, started=START + 3, **odd)],
        [*(execution(n) for n in range(6)), execution(1, run=9, start=START + 3, due=START + 3)],
    )
    assert flaws(given) == {Flaw.EXTRA}


@pytest.mark.parametrize("outside", [MOMENTS[0], MOMENTS[5]])
def test_the_edges_of_an_edit_are_neither_missing_nor_extra(outside):
    inner = Active(
        schedule="* * * * * */2",
        timezone="UTC",
        may=SPAN,
        must=(MOMENTS[0] + 0.5, MOMENTS[5] - 0.5),
    )
    edited = Subject(key="task", active=(inner,))
    number = MOMENTS.index(outside)
    assert flaws(evidence(subject=edited)) == set()
    assert flaws(evidence(but(number, what=row), but(number), subject=edited)) == set()


def test_a_manual_run_is_extra_only_if_it_was_not_requested():
    own = {"origin": "manual", "due": None, "id": 9, "planned": START + 3.0, "ready": START + 3.0}
    own |= {"started": START + 3.0, "finished": START + 3.5}
    given = evidence(
        [*(row(n) for n in range(6)), row(1, **own)],
        [*(execution(n) for n in range(6)), execution(1, run=9, start=START + 3.0, due=None)],
    )
    asked = Request(key="task", run=9, asked=(START + 2.9, START + 3.0))
    in_doubt = replace(asked, run=None)
    assert flaws(given) == {Flaw.EXTRA}
    assert flaws(replace(given, requests=[asked])) == set()
    assert flaws(replace(given, requests=[in_doubt])) == set()


def test_a_confirmed_request_that_was_not_executed_is_missing():
    asked = Request(key="once", run=9, asked=(START, START))
    assert flaws(evidence(requests=[asked])) == {Flaw.MISSING}


class TestRepeats:
    def again(self, before, after, **more):
        """The third occurrence, executed by the first process and then by the second."""
        second = execution(2, member=2, attempt=2, start=MOMENTS[2] + 1, **after)
        return evidence(
            but(2, row(2, attempt=2, finished=MOMENTS[2] + 1.5, times_lost=1), what=row),
            but(2, execution(2, **before), second),
            **more,
        )

    def test_a_successful_execution_must_not_be_repeated(self):
        assert flaws(self.again({}, {})) == {Flaw.REPEATED}

    def test_a_failed_run_may_be_repeated_if_it_has_retries(self):
        raised = {"outcome": "raised"}
        assert flaws(self.again(raised, {}, subject=subject(max_attempts=2))) == set()
        assert flaws(self.again(raised, {})) == {Flaw.REPEATED}

    def test_a_run_that_was_cancelled_at_its_timeout_counts_as_failed(self):
        """It may exceed its timeout by a moment, because it started a moment late."""
        ended = {"outcome": "cancelled", "end": MOMENTS[2] + 0.499, "start": MOMENTS[2] + 0.001}
        impatient = {"timeout": 0.5, "on_lost": "fail"}
        given = self.again(ended, {}, subject=subject(max_attempts=2, **impatient))
        assert flaws(given) == set()
        assert flaws(self.again(ended, {}, subject=subject(**impatient))) == {Flaw.REPEATED}

    def test_no_run_fails_more_often_than_it_has_attempts(self):
        raised = {"outcome": "raised"}
        given = self.again(raised, raised, subject=subject(max_attempts=2))
        third = execution(2, attempt=3, start=MOMENTS[2] + 1.6, end=MOMENTS[2] + 1.7, **raised)
        assert Flaw.REPEATED in flaws(replace(given, executions=[*given.executions, third]))

    def test_a_killed_run_may_be_repeated_unless_on_lost_is_fail(self):
        killed = life(1, died=(MOMENTS[2] + 0.3, MOMENTS[2] + 0.4), by="KILL")
        cut_off = {"end": None, "outcome": None}
        later = [execution(n, member=2) for n in range(6) if n > 2]
        given = self.again(cut_off, {}, lives=[killed])
        given = replace(given, executions=[*(e for e in given.executions if e.run <= 2), *later])
        assert flaws(given) == set()
        given.subjects["task"] = subject(on_lost="fail")
        assert flaws(given) == {Flaw.REPEATED}

    def test_a_run_recorded_well_before_a_kill_must_not_be_repeated(self):
        killed = life(1, died=(MOMENTS[2] + 3.5, MOMENTS[2] + 3.6), by="KILL")
        given = self.again({}, {}, lives=[killed])
        late = [
            replace(e, start=MOMENTS[2] + 4.2, end=MOMENTS[2] + 4.3) if e.attempt == 2 else e
            for e in given.executions
        ]
        late = replace(given, executions=late)
        assert Flaw.REPEATED in flaws(late)
        kept_from_it = disturbed(MOMENTS[2] + 1, MOMENTS[2] + 3)
        assert Flaw.REPEATED not in flaws(replace(late, disturbances=kept_from_it))


class TestOverlaps:
    def test_concurrent_runs_are_a_flaw_unless_overlap_is_allowed(self):
        long = execution(2, end=MOMENTS[3] + 0.2)
        assert flaws(evidence(executions=but(2, long))) == {Flaw.CONCURRENT}
        allowed = subject(overlap="allow")
        assert flaws(evidence(executions=but(2, long), subject=allowed)) == set()

    def test_one_run_executing_twice_at_once_is_always_a_flaw(self):
        again = execution(2, member=2, start=MOMENTS[2] + 0.1)
        given = evidence(executions=[*but(6), again], subject=subject(overlap="allow"))
        assert flaws(given) == {Flaw.CONCURRENT, Flaw.REPEATED}

    def test_an_execution_ends_when_its_process_is_killed(self):
        for died, found in ((MOMENTS[3] - 0.1, set()), (MOMENTS[3] + 0.2, {Flaw.CONCURRENT})):
            killed = life(1, died=(died, died), by="KILL")
            cut_off = execution(2, end=None, outcome=None)
            later = [execution(n, member=2) for n in range(6) if n != 2]
            lost = row(2, state="lost", times_lost=1)
            given = evidence(
                but(2, lost, what=row),
                [cut_off, *later],
                subject=subject(on_lost="fail"),
                lives=[killed],
            )
            assert flaws(given) == found

    def stopped(self, thawed, **policies):
        """The third run, whose process is stopped in its middle while another one has it."""
        frozen = life(1, frozen=[(MOMENTS[2] + 0.1, thawed)])
        other = execution(2, member=2, attempt=2, start=MOMENTS[2] + 5.2)
        return evidence(
            but(2, row(2, attempt=2, times_lost=1, finished=other.end), what=row),
            [
                *(execution(n, member=2) for n in range(6) if n != 2),
                execution(2, end=thawed + 0.3),
                other,
            ],
            subject=subject(overlap="allow"),
            lives=[frozen],
            lease=5.0,
        )

    def test_a_stopped_process_does_nothing(self):
        verdict = check(self.stopped(thawed=other_end() + 1))
        assert (verdict.findings, verdict.zombies) == ([], [])

    def test_zombies_are_counted_separately(self):
        verdict = check(self.stopped(thawed=other_end() - 0.2))
        assert verdict.findings == []
        assert len(verdict.zombies) == 1

    def test_an_attempt_that_continues_twice_is_not_a_zombie(self):
        given = self.stopped(thawed=other_end() - 0.2)
        handed_back = [replace(e, attempt=1) for e in given.executions]
        assert Flaw.CONCURRENT in flaws(replace(given, executions=handed_back))

    def test_a_process_that_was_stopped_for_a_moment_only_is_not_a_zombie(self):
        given = self.stopped(thawed=MOMENTS[2] + 0.4)
        long = [
            replace(e, end=e.start + 6) if e.run == 2 and e.attempt == 1 else e
            for e in given.executions
        ]
        assert Flaw.CONCURRENT in flaws(replace(given, executions=long))

    def test_a_connection_that_was_dropped_once_makes_no_zombie(self):
        given = self.stopped(thawed=other_end() - 0.2)
        given.lives[1].frozen.clear()
        outage = disturbed(MOMENTS[2] + 0.1, other_end())
        assert flaws(replace(given, disturbances=outage)) == set()
        brief = [replace(each, is_brief=True) for each in outage]
        assert flaws(replace(given, disturbances=brief)) >= {Flaw.CONCURRENT, Flaw.REPEATED}


def other_end():
    return MOMENTS[2] + 5.2 + TAKES


class TestLateness:
    late = MOMENTS[5] + 6

    def given(self, **more):
        own = row(5, started=self.late, finished=self.late + TAKES)
        return evidence(but(5, own, what=row), but(5, execution(5, start=self.late)), **more)

    def test_a_late_start_is_a_flaw_unless_something_was_broken(self):
        assert flaws(self.given()) == {Flaw.LATE}
        assert flaws(self.given(disturbances=disturbed(MOMENTS[5] + 1, MOMENTS[5] + 2))) == set()
        assert flaws(self.given(disturbances=disturbed(START - 9, START - 8))) == {Flaw.LATE}

    def test_the_spread_is_not_late(self):
        assert Flaw.LATE not in flaws(self.given(subject=subject(spread=2.0)))

    def test_a_run_that_waits_for_its_predecessor_is_not_late(self):
        long = execution(4, end=self.late - 0.1)
        before = row(4, finished=self.late - 0.1)
        given = self.given()
        given = replace(
            given,
            rows=[*(r for r in given.rows if r.id != 4), before],
            executions=[*(e for e in given.executions if e.run != 4), long],
        )
        assert flaws(given) == set()

    def test_a_run_that_waits_for_a_retry_of_another_is_not_late(self):
        again = execution(4, attempt=2, start=self.late + 2)
        attempts = [execution(4, end=self.late - 0.1, outcome="raised"), again]
        before = row(4, attempt=2, started=again.start, finished=again.end)
        given = self.given(subject=subject(max_attempts=2))
        given = replace(
            given,
            rows=[*(r for r in given.rows if r.id != 4), before],
            executions=[*(e for e in given.executions if e.run != 4), *attempts],
        )
        assert flaws(given) == set()

    def test_runs_that_a_frozen_process_may_have_locked_are_not_late(self):
        def frozen(start, end):
            return {"lives": (replace(life(2), frozen=[(start, end)]),)}

        assert flaws(self.given(**frozen(MOMENTS[5] + 0.1, self.late - 0.1))) == set()
        assert flaws(self.given(**frozen(MOMENTS[5] + 0.1, self.late - 3))) == {Flaw.LATE}
        assert flaws(self.given(**frozen(START, START + 5))) == {Flaw.LATE}

    def test_a_run_is_not_excused_by_its_own_end(self):
        quick = row(5, started=self.late, finished=self.late + 0.01)
        assert flaws(replace(self.given(), rows=but(5, quick, what=row))) == {Flaw.LATE}


class TestRows:
    def only(self, own, **more):
        return flaws(evidence(but(2, own, what=row), but(2), **more))

    def test_two_rows_for_one_occurrence_are_a_flaw(self):
        assert flaws(evidence([*but(6, what=row), row(2, id=9)])) == {
            Flaw.DOUBLED,
            Flaw.UNEXPLAINED,
        }

    def test_an_occurrence_that_is_planned_and_missed_is_doubled(self):
        gap = row(2, id=9, state="missed", due=MOMENTS[1] + 1, due_until=MOMENTS[2], count=1)
        given = evidence([*but(6, what=row), gap], disturbances=disturbed(START, END))
        assert Flaw.DOUBLED in flaws(given)

    @pytest.mark.parametrize("state", ["queued", "running"])
    def test_a_row_that_never_ends_is_a_flaw(self, state):
        assert self.only(row(2, state=state)) == {Flaw.UNENDED}

    def test_a_skip_needs_another_run_of_the_task_that_was_running(self):
        skipped = {"state": "skipped", "finished": MOMENTS[2] + 0.1, "attempt": 0}
        assert self.only(row(2, blocked_by=1, **skipped)) == set()
        assert self.only(row(2, blocked_by=99, **skipped)) == {Flaw.UNEXPLAINED}
        long_over = row(2, blocked_by=0, **skipped)
        assert self.only(long_over) == {Flaw.UNEXPLAINED}
        assert self.only(long_over, disturbances=disturbed(START, END)) == set()

    def test_a_task_whose_runs_may_overlap_skips_none(self):
        skipped = row(2, state="skipped", blocked_by=1, attempt=0)
        assert self.only(skipped, subject=subject(overlap="allow")) == {Flaw.UNEXPLAINED}

    def test_nothing_is_missed_while_heartbeats_are_up(self):
        missed = row(2, state="missed", due_until=MOMENTS[2], attempt=0, reason=NO_HEARTBEAT)
        assert self.only(missed) == {Flaw.UNEXPLAINED}
        assert self.only(missed, disturbances=disturbed(START, END)) == set()

    def test_occurrences_dropped_by_an_edit_are_missed_only_at_an_edit(self):
        reason = "Its timing was changed before a heartbeat planned it."
        gap = row(2, state="missed", due_until=MOMENTS[2], reason=reason)
        assert self.only(gap) == {Flaw.UNEXPLAINED}
        before = replace(EVERY_TWO_SECONDS, may=(SPAN[0], gap.due + 0.2), must=(SPAN[0], gap.due))
        after = replace(EVERY_TWO_SECONDS, may=(gap.due, END), must=(gap.due + 0.2, END))
        edited = Subject(key="task", active=(before, after))
        assert self.only(gap, subject=edited) == set()

    def test_a_gap_explains_and_counts_every_occurrence_it_covers(self):
        gap = row(2, state="missed", due_until=MOMENTS[3], count=2, reason=NO_HEARTBEAT)
        rows = [row(n) for n in (0, 1, 4, 5)]
        calls = [execution(n) for n in (0, 1, 4, 5)]
        outage = disturbed(START, END)
        assert flaws(evidence([*rows, gap], calls, disturbances=outage)) == set()
        wrong = replace(gap, count=3)
        assert flaws(evidence([*rows, wrong], calls, disturbances=outage)) == {Flaw.UNEXPLAINED}

    def test_a_gap_may_span_an_edit_that_leaves_the_schedule_as_it_is(self):
        gap = row(2, state="missed", due_until=MOMENTS[3], count=2, reason=NO_HEARTBEAT)
        between = MOMENTS[2] + 1
        before = replace(EVERY_TWO_SECONDS, may=(SPAN[0], between + 0.2), must=(SPAN[0], between))
        after = replace(EVERY_TWO_SECONDS, may=(between, END), must=(between + 0.2, END))
        given = evidence(
            [*[row(n) for n in (0, 1, 4, 5)], gap],
            [execution(n) for n in (0, 1, 4, 5)],
            disturbances=disturbed(START, END),
            subject=Subject(key="task", active=(before, after)),
        )
        assert flaws(given) == set()
        wrong = replace(given, rows=[*given.rows[:-1], replace(gap, count=3)])
        assert flaws(wrong) == {Flaw.UNEXPLAINED}

    def test_only_runs_that_were_asked_to_end_may_be_cancelled(self):
        cancelled = row(2, state="cancelled", reason="by the user")
        assert self.only(cancelled) == {Flaw.UNEXPLAINED}
        asked = frozenset({"by the user"})
        assert self.only(cancelled, cancels=asked) == set()
        lost_too = replace(cancelled, reason="Its worker was not heard of; by the user.")
        assert self.only(lost_too, cancels=asked) == set()

    def test_a_run_is_lost_for_good_only_where_it_must_not_run_again(self):
        lost = row(2, state="lost", times_lost=1)
        assert self.only(lost) == {Flaw.UNEXPLAINED}
        assert self.only(lost, subject=subject(on_lost="fail")) == set()
        assert self.only(replace(lost, times_lost=4)) == set()

    def test_a_failure_that_the_function_did_not_raise_is_a_flaw(self):
        failed = row(2, state="failed", reason="OperationalError: away")
        meant = replace(failed, reason="DeliberateFailure: it was to be expected")
        calls = but(2, execution(2, outcome="raised"))
        assert flaws(evidence(but(2, failed, what=row), calls)) == {Flaw.UNEXPLAINED}
        assert flaws(evidence(but(2, meant, what=row), calls)) == set()

    def test_a_timeout_needs_a_task_that_has_one(self):
        timed_out = row(2, state="timed_out")
        calls = but(2, execution(2, outcome="cancelled"))
        assert flaws(evidence(but(2, timed_out, what=row), calls)) == {Flaw.UNEXPLAINED}
        given = evidence(but(2, timed_out, what=row), calls, subject=subject(timeout=0.3))
        assert flaws(given) == set()


class TestIterations:
    def test_after_the_last_iteration_nothing_more_is_expected(self):
        given = evidence([row(n) for n in range(3)], [execution(n) for n in range(3)])
        assert flaws(given) == {Flaw.MISSING}
        given.subjects["task"] = subject(iterations=3)
        assert flaws(replace(given, existing=frozenset())) == set()

    def test_a_task_that_ends_with_too_few_is_a_flaw(self):
        ended = evidence(subject=subject(iterations=7), existing=frozenset())
        assert flaws(ended) == {Flaw.ITERATIONS}
        assert flaws(replace(ended, existing=frozenset({"task"}))) == set()

    def test_a_task_that_runs_too_often_is_a_flaw(self):
        assert Flaw.ITERATIONS in flaws(evidence(subject=subject(iterations=5)))

    def test_skipped_occurrences_do_not_count(self):
        rows = but(2, row(2, state="skipped", blocked_by=1, attempt=0), what=row)
        given = evidence(rows, but(2), subject=subject(iterations=5), existing=frozenset())
        assert flaws(given) == set()


class TestFleet:
    def test_a_process_that_ended_by_itself_is_a_flaw(self):
        assert flaws(evidence(crashes=("worker-1 ended with 1",))) == {Flaw.CRASH}

    def test_small_tables_that_differ_from_the_ledger_are_a_flaw(self):
        given = evidence(disagreements=("run 7 is queued, and has 0 entries as queued",))
        assert flaws(given) == {Flaw.DISAGREEING}

    def test_a_rescue_has_a_limit_unless_something_else_was_broken(self):
        slow = Rescue(name="worker-1", killed=START, runs=3, seconds=20.5)
        assert flaws(evidence(rescues=[replace(slow, seconds=19.5)])) == set()
        assert flaws(evidence(rescues=[slow])) == {Flaw.RESCUE}
        assert flaws(evidence(rescues=[replace(slow, seconds=1.0, is_over=False)])) == {
            Flaw.RESCUE
        }
        assert flaws(evidence(rescues=[slow], disturbances=disturbed(START, END))) == set()
