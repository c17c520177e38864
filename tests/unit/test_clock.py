"""The database's clock, carried on by a steady one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sisy import clock
from sisy.clock import EXACT_FOR, LONGEST_ANSWER, MAX_ERROR, TRUSTED_FOR, DatabaseClock
from tests.support.clocks import SettableClock
from tests.support.moments import NOON


class Database:
    """A database whose clock says ``moment``; counts how often it was asked."""

    def __init__(self, vendor="postgresql", moment=NOON):
        self.vendor = vendor
        self.moment = moment
        self.asked = []
        self.connection = object()  # the driver's

    def cursor(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def execute(self, sql):
        self.asked.append(sql)
        self.answers()

    def answers(self):
        """Do what passes while the database answers."""

    def fetchone(self):
        return (self.moment,)


@pytest.fixture
def steady(monkeypatch):
    """Return what lets the host's steady clock go on."""
    seconds = [1000.0]
    monkeypatch.setattr(clock, "steady", lambda: seconds[0])

    def go_on(by):
        seconds[0] += by

    return go_on


@pytest.fixture
def database(monkeypatch, steady):
    database = Database()
    monkeypatch.setattr(clock, "connections", {"default": database})
    return database


def test_a_reading_of_the_clock_is_extrapolated_for_a_while(database, steady):
    own = DatabaseClock()
    assert own.now("default") == NOON
    steady(TRUSTED_FOR)
    assert own.now("default") == NOON + timedelta(seconds=TRUSTED_FOR)
    assert len(database.asked) == 1
    steady(0.001)
    database.moment = NOON + timedelta(hours=1)
    assert own.now("default") == NOON + timedelta(hours=1)
    assert len(database.asked) == 2


def test_the_hosts_clock_is_not_used(database, monkeypatch):
    class Wrong(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(1999, 1, 1, tzinfo=tz)

    monkeypatch.setattr(clock, "datetime", Wrong)
    assert DatabaseClock().now("default") == NOON


@pytest.mark.parametrize(
    "answer", [NOON, NOON.replace(tzinfo=None), NOON.astimezone(ZoneInfo("Asia/Kathmandu"))]
)
def test_the_answer_is_an_aware_moment_in_utc(database, answer):
    database.moment = answer
    moment = DatabaseClock().now("default")
    assert (moment, moment.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    ("vendor", "function"), [("postgresql", "clock_timestamp()"), ("mysql", "UTC_TIMESTAMP(6)")]
)
def test_each_database_returns_the_current_time_not_the_transaction_start(
    database, vendor, function
):
    database.vendor = vendor
    DatabaseClock().now("default")
    assert function in database.asked[0]


def test_sqlite_uses_the_hosts_clock(database):
    database.vendor = "sqlite"
    before = datetime.now(UTC)
    assert before <= DatabaseClock().now("default") <= datetime.now(UTC)
    assert database.asked == []


def test_the_last_known_moment_makes_no_query(database, steady):
    own = DatabaseClock()
    assert abs(own.last_known("default") - datetime.now(UTC)) < timedelta(minutes=1)
    own.now("default")
    steady(3600)
    assert own.last_known("default") == NOON + timedelta(hours=1)
    assert len(database.asked) == 1


def test_the_earliest_time_leaves_out_half_of_the_answer_and_the_drift(database, steady):
    own = DatabaseClock()
    database.answers = lambda: steady(0.01)
    own.now("default")
    # The database may have read its clock just before it answered.
    assert own.earliest("default") == pytest.approx(NOON, abs=timedelta(microseconds=5))
    assert own.last_known("default") - own.earliest("default") >= timedelta(milliseconds=5)
    steady(10)
    behind = own.last_known("default") - own.earliest("default")
    assert behind == pytest.approx(timedelta(milliseconds=10), abs=timedelta(microseconds=10))
    assert len(database.asked) == 1


def test_a_slow_reading_is_repeated_and_the_most_exact_one_kept(database, steady):
    slow, less, least = 4 * LONGEST_ANSWER, 3 * LONGEST_ANSWER, 2 * LONGEST_ANSWER
    takes = iter([slow, least, less])
    database.answers = lambda: steady(next(takes))
    read = DatabaseClock()
    now = read.now("default")
    assert len(database.asked) == 3
    since = less + least / 2  # since the middle of the reading that took the least
    assert now == NOON + timedelta(seconds=since)


def test_a_clock_is_read_again_if_its_reading_is_old_or_of_another_connection(database, steady):
    own = DatabaseClock()
    own.read_again("default")
    steady(EXACT_FOR)
    own.read_again("default")
    assert len(database.asked) == 1
    steady(0.001)
    own.read_again("default")
    assert len(database.asked) == 2
    # After a failover, it is another server, and its clock may be another one.
    database.connection = object()
    own.read_again("default")
    assert len(database.asked) == 3


def test_a_reading_that_took_long_is_read_again(database, steady):
    own = DatabaseClock()
    database.answers = lambda: steady(3 * MAX_ERROR)
    own.read_again("default")
    database.answers = lambda: None
    own.read_again("default")
    own.read_again("default")
    assert len(database.asked) == 2


def test_the_clock_of_the_host_of_sqlite_is_always_exact(database):
    database.vendor = "sqlite"
    own = DatabaseClock()
    own.read_again("default")
    before = datetime.now(UTC)
    assert before <= own.earliest("default") <= datetime.now(UTC)
    assert database.asked == []


def test_each_database_has_its_own_time(monkeypatch, steady):
    later = NOON + timedelta(hours=1)
    both = {"default": Database(), "other": Database(moment=later)}
    monkeypatch.setattr(clock, "connections", both)
    own = DatabaseClock()
    assert (own.now("default"), own.now("other")) == (NOON, later)


def test_another_clock_is_used_in_the_block_even_after_an_error():
    with clock.use(SettableClock(NOON)):
        with pytest.raises(ZeroDivisionError), clock.use(SettableClock(None)):
            1 / 0  # noqa: B018
        assert clock.now("default") == clock.last_known("default") == NOON
    assert clock.last_known("default") != NOON
