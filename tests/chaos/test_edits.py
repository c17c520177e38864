"""Edits just before a due moment: what may follow from them, what must, and what must not."""

from dataclasses import replace
from math import inf

import pytest

from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.models import Run, Task, task_with_callable
from tests.chaos import jobs
from tests.chaos.evidence import LONGEST_LEAD, Subject
from tests.chaos.habits import EDITS, EVERYTHING, habits
from tests.chaos.journal import READING_ERROR, Change, active, by_the_database
from tests.chaos.nemesis import EDIT, plan
from tests.chaos.states import NO_HEARTBEAT
from tests.chaos.test_checker import (
    EVERY_TWO_SECONDS,
    MOMENTS,
    START,
    but,
    disturbed,
    evidence,
    execution,
    flaws,
    row,
)
from tests.chaos.user import User
from tests.chaos.verdict import Flaw
from tests.chaos.withdrawals import Withdrawals

pytestmark = pytest.mark.database

MEMBERS = ["heartbeat-1", "heartbeat-2", "worker-1", "worker-2", "worker-3"]
EVEN, ODD = "* * * * * */2", "* * * * * 1-59/2"


def change(seconds, schedule=EVEN, length=0.01, **more):
    return Change(
        key="task", when=(START + seconds, START + seconds + length), schedule=schedule, **more
    )


def edited(*changes):
    """A task that is saved before the start, and changed then."""
    changes = [change(-5), *changes, change(10.0, None)]
    return Subject(key="task", active=active(changes, "UTC", START))


def scheduled(number, due, priority=0):
    own = {"id": number, "due": due, "planned": due - 1.5, "ready": due, "priority": priority}
    return row(0, **own, started=due, finished=due + 0.5), execution(
        0, run=number, due=due, start=due
    )


def history(*pairs, **more):
    return evidence([one for one, _ in pairs], [call for _, call in pairs], **more)


def at_even(*numbers):
    return [scheduled(n, MOMENTS[n]) for n in numbers]


class TestAnotherSchedule:
    """Saved 0.2 seconds before the third moment: from then on it is due at odd seconds."""

    after = [scheduled(10 + n, START + n) for n in (5, 7, 9)]
    subject = edited(change(3.8, ODD))

    def test_what_was_planned_ahead_and_withdrawn_is_not_a_loss(self):
        assert flaws(history(*at_even(0, 1), *self.after, subject=self.subject)) == set()

    def test_what_was_planned_ahead_must_not_start_after_the_edit(self):
        given = history(*at_even(0, 1, 2), *self.after, subject=self.subject)
        assert flaws(given) == {Flaw.EXTRA}

    def test_what_fell_due_before_the_edit_still_runs(self):
        given = history(*at_even(0), *self.after, subject=self.subject)
        assert flaws(given) == {Flaw.MISSING}

    def test_raw_sql_is_found_within_a_minute(self):
        found_later = edited(change(3.8, ODD, found_after=60.0))
        for pairs in (self.after, at_even(2, 3, 4, 5), [*at_even(2), *self.after[1:]]):
            assert flaws(history(*at_even(0, 1), *pairs, subject=found_later)) == set()
        soon = edited(change(0.5, ODD, found_after=2.0))
        third = scheduled(9, START + 3)
        assert flaws(history(*at_even(0, 1), third, *self.after, subject=soon)) == set()
        given = history(*at_even(0, 1, 2), third, *self.after, subject=soon)
        assert flaws(given) == {Flaw.EXTRA}

    def test_raw_sql_before_the_start_is_found_after_it(self):
        early = edited(change(-2.0, ODD, found_after=60.0))
        assert flaws(history(*at_even(0, 1), *self.after, subject=early)) == set()

    def test_raw_sql_is_found_at_the_next_edit(self):
        never = change(0.5, ODD, found_after=inf)
        changes = [change(-5), never, change(3.8, EVEN, priority=5), change(10.0, None)]
        first, second, third = active(changes, "UTC", START)
        assert first.may[1] == changes[2].when[1] + LONGEST_LEAD
        assert second.must[0] > second.must[1]
        assert third.must == (changes[2].when[1], changes[3].when[0] - READING_ERROR)


class TestAnotherPriority:
    """Saved in the second before the third moment, at which it is due as before."""

    subject = edited(change(3.8, priority=7))
    after = [scheduled(n, MOMENTS[n], priority=7) for n in (2, 3, 4)]

    def test_what_is_withdrawn_is_planned_again(self):
        last = scheduled(5, MOMENTS[5], priority=7)
        assert flaws(history(*at_even(0, 1), *self.after, last, subject=self.subject)) == set()

    def test_what_is_withdrawn_and_not_planned_again_is_missing(self):
        given = history(*at_even(0, 1), *self.after[1:], subject=self.subject)
        assert flaws(given) == {Flaw.MISSING}

    def test_a_moment_within_the_edit_is_not_an_excuse(self):
        slow = edited(change(3.8, length=0.5, priority=7))
        given = history(*at_even(0, 1), *self.after[1:], subject=slow)
        assert flaws(given) == {Flaw.MISSING}

    def test_what_is_planned_after_the_edit_may_have_what_it_gave(self):
        planned_late = replace(scheduled(1, MOMENTS[1], priority=7)[0], planned=START + 4.5)
        given = history(
            *at_even(0), *self.after, scheduled(5, MOMENTS[5], 7), subject=self.subject
        )
        rows = [*given.rows, planned_late]
        given = replace(given, rows=rows, executions=[*given.executions, execution(1)])
        assert flaws(given) == set()
        too_soon = replace(planned_late, planned=START + 2)
        assert flaws(replace(given, rows=[*given.rows[:-1], too_soon])) == {Flaw.OUTDATED}

    def test_the_old_priority_is_outdated(self):
        last = scheduled(5, MOMENTS[5], priority=7)
        given = history(*at_even(0, 1, 2), *self.after[1:], last, subject=self.subject)
        assert flaws(given) == {Flaw.OUTDATED}


def test_a_run_that_was_withdrawn_is_gone_and_not_executed():
    assert flaws(evidence(withdrawn=frozenset({99}))) == set()
    assert flaws(evidence(withdrawn=frozenset({2}))) == {Flaw.OUTDATED}
    given = evidence(rows=but(2, what=row), withdrawn=frozenset({2}))
    assert flaws(given) == {Flaw.OUTDATED, Flaw.EXTRA}


@pytest.mark.django_db(transaction=True)
def test_what_an_edit_withdraws_is_noted(noon):
    task = task_with_callable(jobs.work, schedule="* * * * * *")
    task.save()
    plan_ahead("default", noon.now("default"))
    with Withdrawals() as withdrawals:
        Task.objects.filter(pk=task.pk).update(priority=5)
    assert len(withdrawals.runs) == 2
    assert not Run.objects.filter(pk__in=withdrawals.runs).exists()


def test_runs_that_are_not_due_yet_are_not_cancelled():
    own = {"state": "cancelled", "reason": "by the user", "started": None, "attempt": 0}
    asked = frozenset({"by the user"})
    for finished, found in ((MOMENTS[2] + 0.1, set()), (MOMENTS[2] - 0.5, {Flaw.UNEXPLAINED})):
        cancelled = row(2, finished=finished, **own)
        assert flaws(evidence(but(2, cancelled, what=row), but(2), cancels=asked)) == found


def test_an_edit_is_as_long_as_the_clocks_leave_it_open():
    [moved] = by_the_database([change(3.8)], lambda moment: (moment - 0.5, moment + 0.5))
    assert moved.when == pytest.approx((START + 3.3, START + 4.31))


def test_a_gap_across_raw_sql_may_count_occurrences_of_both_schedules():
    later = replace(EVERY_TWO_SECONDS, is_found_later=True)
    gap = row(1, state="missed", due_until=MOMENTS[2], count=5, reason="")
    rest = [row(n) for n in (0, 3, 4, 5)]
    calls = [execution(n) for n in (0, 3, 4, 5)]
    found = flaws(evidence([*rest, gap], calls, subject=Subject(key="task", active=(later,))))
    assert Flaw.MISSING not in found


def test_raw_sql_before_a_gap_is_recorded_may_change_what_it_counts():
    # The heartbeat counts from a moment of the old schedule on, by the new one.
    changed = MOMENTS[2] + 0.5
    old = replace(EVERY_TWO_SECONDS, must=(START - 1, changed))
    new = replace(old, schedule="* * * * * *", may=(changed, START + 60), is_found_later=True)
    both = Subject(key="task", active=(old, new))
    for planned, found in ((changed - 0.1, {Flaw.UNEXPLAINED}), (changed + 5.5, set())):
        times = {"due_until": MOMENTS[2], "planned": planned, "finished": planned}
        gap = row(1, state="missed", count=3, reason=NO_HEARTBEAT, **times)
        outage = disturbed(START, START + 60)
        given = evidence([gap], [], subject=both, disturbances=outage)
        assert flaws(given) & {Flaw.UNEXPLAINED} == found


def test_an_edit_of_the_priority_does_not_find_a_schedule_of_raw_sql():
    raw = change(3, ODD, found_after=75)
    stretches = active(
        [change(-5), raw, change(3.5, ODD, priority=5), change(90, None)], "UTC", START
    )
    old, *new = stretches
    assert old.may[1] == pytest.approx(START + 3.01 + 75)
    assert all(one.is_found_later for one in new)
    found = active([change(-5), raw, change(3.5, EVEN), change(90, None)], "UTC", START)
    assert found[0].may[1] == pytest.approx(START + 3.51 + LONGEST_LEAD)


class TestNemeses:
    def steps(self, nemesis, seconds=120):
        return plan(1, seconds, MEMBERS, "postgres", "none", 5, nemesis)

    def test_the_one_that_freezes_does_nothing_else(self):
        steps = self.steps("freeze")
        assert {step.do for step in steps} == {"freeze", "thaw"}
        assert {step.to for step in steps} == set(MEMBERS)

    def test_it_freezes_around_due_moments_and_beyond_a_lease(self):
        steps = self.steps("freeze")
        frozen, lengths, around = {}, [], 0
        for step in steps:
            if step.do == "freeze":
                frozen[step.to] = step.at
                around += step.at % 1 > 0.85
            else:
                lengths.append(step.at - frozen.pop(step.to))
        assert min(lengths) < 0.5
        assert max(lengths) > 5
        assert around > 20

    @pytest.mark.parametrize("nemesis", ["edit", "none"])
    def test_the_others_break_no_process(self, nemesis):
        assert self.steps(nemesis) == []

    def test_the_one_that_edits_mostly_edits_and_mostly_just_before_a_due_moment(self):
        for database in ("postgres", "mariadb", "sqlite"):
            how, usual = habits(EDIT, database), habits("none", database)
            assert how.aimed > usual.aimed
            assert how.number / how.pause > 4 * usual.number / usual.pause
        assert EDITS.keys() == EVERYTHING.keys() == User("1", [], None, usual)._acts.keys()
        assert EDITS["run now"] < EVERYTHING["run now"]
