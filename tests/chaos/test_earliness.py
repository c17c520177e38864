"""The judge of earliness: it notices two milliseconds, and accuses nobody who is on the dot."""

import random
import time
import zlib
from dataclasses import replace

import pytest
from django.db import DatabaseError

from tests.chaos import database_clock, jobs, moments
from tests.chaos.database_clock import LARGEST_SLEW, ClockWatch, DatabaseClock, Reading
from tests.chaos.evidence import Request
from tests.chaos.execution_log import FOLDER, MEMBER, read
from tests.chaos.moments import datetime_of
from tests.chaos.test_checker import MOMENTS, START, but, evidence, execution, flaws, row, subject
from tests.chaos.verdict import Flaw
from tests.support.waiting import wait_until

MS = 0.001


def called(number, seconds, within=0.0):
    """An execution that was called ``seconds`` after its moment, give or take ``within``."""
    at = MOMENTS[number] + seconds
    return execution(number, start=at, called=(at - within, at + within))


@pytest.mark.parametrize(
    ("seconds", "within", "found"),
    [
        (0, 0, set()),
        (0, 0.3 * MS, set()),
        (-0.2 * MS, 0.3 * MS, set()),
        (-2 * MS, 0.3 * MS, {Flaw.EARLY}),
        (-0.5 * MS, 0.3 * MS, {Flaw.EARLY}),
        (-2 * MS, 3 * MS, set()),
    ],
)
def test_a_call_is_early_if_its_latest_moment_is_before_its_runs(seconds, within, found):
    assert flaws(evidence(executions=but(2, called(2, seconds, within)))) == found


def test_a_run_that_is_ready_before_its_moment_is_early():
    assert flaws(evidence(but(2, row(2, ready=MOMENTS[2] - MS), what=row))) == {Flaw.EARLY}


@pytest.mark.parametrize(("seconds", "found"), [(-2 * MS, {Flaw.EARLY}), (0, set())])
def test_a_request_is_not_executed_before_its_moment(seconds, found):
    wanted = START + 3
    asked = Request(key="once", run=9, asked=(START, START), not_before=wanted)
    own = row(0, id=9, key="once", origin="once", due=None, ready=wanted)
    at = wanted + seconds
    call = execution(0, key="once", run=9, due=None, start=at, called=(at, at))
    given = evidence(
        [*(row(n) for n in range(6)), own],
        [*(execution(n) for n in range(6)), call],
        requests=[asked],
    )
    assert flaws(given) == found


@pytest.mark.parametrize(("seconds", "found"), [(-2 * MS, {Flaw.EARLY}), (0, set())])
def test_the_moment_of_a_task_with_a_spread_is_later(seconds, found):
    part = zlib.crc32(f"5:{datetime_of(MOMENTS[2]).isoformat()}".encode()) / 2**32
    delay = 0.4 * part
    at = MOMENTS[2] + delay + seconds
    given = evidence(
        but(2, row(2, task=5, ready=MOMENTS[2] + delay), what=row),
        but(2, execution(2, start=at, called=(at, at))),
        subject=subject(spread=0.4),
    )
    spread_out = [
        replace(one, task=5, ready=one.due + 0.4) if one.id != 2 else one for one in given.rows
    ]
    calls = [
        replace(one, called=(one.start + 0.4, one.start + 0.4)) if one.run != 2 else one
        for one in given.executions
    ]
    assert flaws(replace(given, rows=spread_out, executions=calls)) == found


def readings_of(offset, draw, count=50):
    """Return readings of a clock that is so far ahead of the steady one, on a busy machine."""
    readings = []
    for n in range(count):
        before = 100.0 + n / 10
        asked, answered = draw.expovariate(1000), draw.expovariate(1000)
        readings.append(Reading(before, before + asked + offset, before + asked + answered))
    return readings


def test_the_true_moment_is_within_narrow_bounds_on_a_busy_machine():
    draw = random.Random(1)
    clock = DatabaseClock(readings_of(1_000_000.0, draw))
    for steady in (draw.uniform(100.5, 104.5) for _ in range(200)):
        earliest, latest = clock.bounds(steady)
        assert earliest <= steady + 1_000_000.0 + 1e-9
        assert steady + 1_000_000.0 - 1e-9 <= latest
        assert latest - earliest < MS


def test_the_bounds_widen_with_the_time_for_which_the_database_was_away():
    clock = DatabaseClock([Reading(100.0, 500.0, 100.0), Reading(120.0, 520.0, 120.0)])
    earliest, latest = clock.bounds(110.0)
    assert (earliest, latest) == pytest.approx(
        (510 - 10 * LARGEST_SLEW, 510 + 10 * LARGEST_SLEW), abs=1e-9
    )


def test_no_call_is_judged_while_the_databases_clock_was_set():
    clock = DatabaseClock([Reading(100.0, 500.0, 100.0), Reading(100.2, 440.2, 100.2)])
    earliest, latest = clock.bounds(100.1)
    assert earliest < 440.1
    assert latest > 500.1


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
class TestOnTheDatabase:
    @pytest.fixture
    def call(self, tmp_path, monkeypatch):
        """Return a function that calls a function of the fleet and judges when that was."""
        monkeypatch.setenv(FOLDER, str(tmp_path))
        monkeypatch.setenv(MEMBER, "1")
        monkeypatch.setattr(jobs, "current_run", lambda: FakeRun)
        jobs.execution_log._file.cache_clear()
        data = {"key": "task", "short": 0.0, "long": 0.0, "is_long": 0.0, "fails": 0.0}

        def called_between(readings):
            jobs.work({"task": FakeTask(data)})
            readings += self.some_readings()
            [found] = read(tmp_path, DatabaseClock(readings).bounds)
            return found.called

        return called_between

    @staticmethod
    def some_readings():
        return [database_clock.read() for _ in range(30)]

    def test_a_call_on_the_dot_is_not_accused(self, call):
        readings = self.some_readings()
        moment = readings[-1].moment  # before the call, by the database's own clock
        assert call(readings)[1] >= moment

    def test_a_call_two_milliseconds_before_its_moment_is(self, call):
        _, latest = call(self.some_readings())
        moment = database_clock.read().moment + 2 * MS  # the call was before this reading
        assert latest < moment

    def test_the_clock_of_the_host_and_the_databases_agree_on_one_machine(self):
        clock = DatabaseClock(self.some_readings())
        earliest, latest = clock.bounds(moments.steady())
        assert earliest - 0.1 < time.time() < latest + 0.1


class FakeRun:
    id, due_at, attempt = 1, None, 1


class FakeTask:
    def __init__(self, data):
        self.userdata = data


def test_the_clock_is_read_again_after_the_database_was_away():
    answers = [DatabaseError("away"), Reading(1.0, 2.0, 1.0)]

    def read_once():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    with ClockWatch(read_once) as watch:
        wait_until(lambda: watch.readings, "the clock is read")
    assert watch.clock().bounds(1.0) == (2.0, 2.0)
