"""The examples of the manual, carried out by a heartbeat and a worker of flesh and blood.

The processes live by a clock that the tests set.
"""

from datetime import UTC, datetime

import pytest

from sisy import clock
from sisy.models import Process, Role, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.app.models import Counter, Execution
from tests.processes.clocked import ALMOST_A_SECOND, FileClock
from tests.processes.ledger import assert_each_run_was_executed_once, due_moments
from tests.support.moments import DAY, HOUR, MINUTE, SECOND
from tests.support.waiting import wait_until

LEASE = HOUR


class World:
    """A site whose clock the test sets."""

    def __init__(self, site, forks):
        self._clock = FileClock(site.folder / "clock")
        self._site, self._forks = site, forks
        site.set(
            SISY_HISTORY_DAYS=0,  # some examples last longer than history is kept
            SISY_LEASE_SECONDS=LEASE.total_seconds(),
            SISY_POLL_INTERVAL=0.1,
        )
        site.environment["SISY_TEST_CLOCK"] = str(site.folder / "clock")

    def begins(self, moment):
        """Let it be ``moment``, and start the heartbeat and the worker."""
        self._clock.set(moment)
        for command in ("sisy_heartbeat", "sisy_worker"):
            self._site.fork(self._forks, command, main="tests.processes.clocked:main")
        wait_until(lambda: Process.objects.count() == 2, "both have signed on")
        return clock.use(self._clock)

    def comes_to(self, moment):
        """Let it be ``moment``, and wait until all that was due is planned and carried out."""
        self._clock.set(moment)
        now = moment + ALMOST_A_SECOND
        wait_until(lambda: not Task.objects.due(now).exists(), f"all is planned at {moment}")
        wait_until(lambda: not Run.objects.ready(now).exists(), f"all is begun at {moment}")
        wait_until(lambda: not Run.objects.running().exists(), f"all is done at {moment}")

    def passes(self, moment):
        """Let it be ``moment``, with nothing due, and wait until the heartbeat has seen that."""
        self._clock.set(moment)
        heartbeats = Process.objects.filter(role=Role.HEARTBEAT)
        later = moment + ALMOST_A_SECOND + LEASE * 2 / 3
        wait_until(lambda: heartbeats.filter(lease_until__gte=later).exists(), "it was looked")


@pytest.fixture
def world(site, forks):
    return World(site, forks)


def moments(*texts):
    return [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_every_five_seconds_but_only_in_some_hours(world):
    with world.begins(at("2026-05-05 08:59:58")):
        task_with_callable(jobs.record, schedule="* 0,3,6,9 * * * */5").save()
        for moment in moments(
            "2026-05-05 08:59:59",
            "2026-05-05 09:00:00",
            "2026-05-05 09:00:05",
            "2026-05-05 09:00:10",
            "2026-05-05 09:59:54",
            "2026-05-05 09:59:55",
            "2026-05-05 10:00:00",
            "2026-05-05 12:00:00",
            "2026-05-06 00:00:00",
            "2026-05-06 00:00:05",
        ):
            world.comes_to(moment)
    assert_each_run_was_executed_once()
    assert due_moments() == moments(
        "2026-05-05 09:00:00",
        "2026-05-05 09:00:05",
        "2026-05-05 09:00:10",
        "2026-05-05 09:59:50",  # the heartbeat found it within five seconds
        "2026-05-05 09:59:55",
        "2026-05-06 00:00:00",
        "2026-05-06 00:00:05",
    )
    gap = Run.objects.get(state=RunState.MISSED)
    assert [gap.due_at, gap.due_until] == moments("2026-05-05 09:00:15", "2026-05-05 09:59:45")
    assert gap.count == 60 * 60 / 5 - 5


def test_hourly_on_weekdays_from_nine_to_five_by_a_class_method(world):
    with world.begins(at("2026-05-08 08:00")):
        task_with_callable(jobs.Clerk.record, schedule="0 9-17 * * mon-fri").save()
        friday = at("2026-05-08 09:00")
        for hour in range(9):
            world.comes_to(friday + hour * HOUR)
        for moment in moments("2026-05-08 18:00", "2026-05-09 12:00", "2026-05-11 08:59:58"):
            world.passes(moment)
        monday = at("2026-05-11 09:00")
        world.comes_to(monday)
    assert_each_run_was_executed_once()
    assert due_moments() == [*(friday + hour * HOUR for hour in range(9)), monday]
    assert Run.objects.filter(target_path="tests.app.jobs.Clerk.record").count() == 10


def test_every_five_minutes_a_method_that_saves_its_object(world):
    start = at("2026-05-05 12:00")
    other = Counter.objects.create(label="another")
    counter = Counter.objects.create(label="mine")
    with world.begins(start):
        task_with_callable(counter.tick, schedule="*/5 * * * *").save()
        for n in range(1, 5):
            world.comes_to(start + n * 5 * MINUTE)
    assert due_moments() == [start + n * 5 * MINUTE for n in range(1, 5)]
    counter.refresh_from_db()
    other.refresh_from_db()
    assert (counter.count, other.count) == (4, 0)
    assert list(Run.objects.order_by("due_at").values_list("result", flat=True)) == [1, 2, 3, 4]


def test_from_new_year_to_valentines_day_by_day_then_the_task_is_gone(world):
    with world.begins(at("2026-12-24 18:00")):
        task_with_callable(
            jobs.record,
            schedule="0 7-19 * * *",
            start_running=at("2027-01-01"),
            end_running=at("2027-02-14 19:00:01"),
        ).save()
        world.passes(at("2026-12-31 19:00"))
        assert not Run.objects.exists()
        visited = moments(
            "2027-01-01 07:00",
            "2027-01-01 08:00",
            "2027-01-01 19:00",
            "2027-01-02 07:00",
            "2027-02-14 18:00",
        )
        for moment in visited:
            world.comes_to(moment)
        assert Task.objects.exists()
        last = at("2027-02-14 19:00")
        world.comes_to(last)
        wait_until(lambda: not Task.objects.exists(), "the task is deleted")
    assert_each_run_was_executed_once()
    assert due_moments() == [*visited, last]
    days_with_both_ends, hours_from_seven_to_seven = 45, 13
    assert sum(Run.objects.values_list("count", flat=True)) == (
        days_with_both_ends * hours_from_seven_to_seven
    )


def test_ten_iterations_and_it_is_gone(world):
    start = at("2026-05-05 12:00")
    with world.begins(start):
        Task.run_iterations(jobs.record, iterations=10)
        for second in range(1, 12):
            world.comes_to(start + second * SECOND)
        wait_until(lambda: not Task.objects.exists(), "the task is deleted")
        world.passes(start + DAY)
    assert_each_run_was_executed_once()
    assert due_moments() == [start + second * SECOND for second in range(1, 11)]


@pytest.mark.parametrize("fn", [jobs.record, "tests.app.jobs.record"], ids=["object", "path"])
def test_once_at_once(world, fn):
    with world.begins(at("2026-05-05 12:00")):
        Task.run_once(fn)
        wait_until(lambda: not Task.objects.exists(), "it has run, and is deleted")
        world.passes(at("2026-05-06 12:00"))
    assert_each_run_was_executed_once()
    assert Execution.objects.count() == 1


def test_once_three_days_ahead(world):
    start = at("2026-05-05 12:00")
    with world.begins(start):
        Task.run_once(jobs.record, delay_until=start + 3 * DAY)
        world.passes(start + 3 * DAY - SECOND)
        assert not Execution.objects.exists()
        world.comes_to(start + 3 * DAY)
        wait_until(lambda: not Task.objects.exists(), "it has run, and is deleted")
    assert_each_run_was_executed_once()
    assert Execution.objects.get().due == (start + 3 * DAY).timestamp()


def test_once_three_days_ahead_by_a_naive_datetime_is_rejected(world):
    start = at("2026-05-05 12:00")
    with world.begins(start):
        with pytest.raises(ValueError, match=r"timezone\.make_aware\(delay_until\)"):
            Task.run_once(jobs.record, delay_until=datetime(2026, 5, 8, 12))
        world.passes(start + 4 * DAY)
    assert not Task.objects.exists()
    assert not Run.objects.exists()
