# ruff: noqa: E501 - messages are asserted whole
"""When is it due next?"""

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sisy.schedules import Schedule, ScheduleError
from tests.unit.enumerator import at, enumerate_due

ZONES_AND_CHANGES = [
    ("America/New_York", "2026-03-08T07:00", "2026-11-01T06:00"),
    ("Europe/London", "2026-03-29T01:00", "2026-10-25T01:00"),
    ("Europe/Dublin", "2026-03-29T01:00", "2026-10-25T01:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30", "2026-04-04T15:00"),
    ("Antarctica/Troll", "2026-03-29T01:00", "2026-10-25T01:00"),
    ("America/Santiago", "2026-09-06T04:00", "2026-04-05T03:00"),
    ("Asia/Beirut", "2026-03-28T22:00", "2026-10-24T21:00"),
    ("Asia/Amman", "2021-03-25T22:00", "2021-10-28T22:00"),
    ("Africa/Casablanca", "2026-03-22T02:00", "2026-02-15T02:00"),
    ("Pacific/Apia", "2011-12-30T10:00", "2011-04-02T14:00"),
    ("Asia/Kathmandu", "2026-03-29T01:00", "2026-10-25T01:00"),
]

EXPRESSIONS = [
    "30 2 * * *",
    "30 1 * * *",
    "0 0 * * *",
    "*/15 * * * *",
    "0 */2 * * *",
    "*/20 2 * * *",
    "14,40 * * * *",
    "14,40 0-4 * * *",
    "0 3 * * sun",
    "59 23 l * *",
    "0 2 1 * mon",
]


def listed(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    found = []
    due = schedule.next_after(start - timedelta(microseconds=1))
    while due is not None and due < end:
        found.append(due)
        due = schedule.next_after(due)
    return found


def assert_agrees(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    """Compare what is due from ``start`` to before ``end``, whichever way it is asked for."""
    due = enumerate_due(schedule.expression, schedule.timezone, start, end)
    just_before = start - timedelta(microseconds=1), end - timedelta(microseconds=1)
    assert listed(schedule, start, end) == due
    assert list(schedule.between(*just_before)) == due
    assert schedule.count_between(*just_before) == len(due)
    return due


@pytest.mark.parametrize(("zone", "forward", "back"), ZONES_AND_CHANGES)
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_days_around_a_daylight_saving_change_follow_debian_cron(zone, forward, back, expression):
    schedule = Schedule(expression, zone)
    for change in (at(forward), at(back)):
        assert_agrees(schedule, change - timedelta(days=1), change + timedelta(days=1, hours=6))


def field(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    spans = (
        st.tuples(number, number)
        .filter(lambda ends: ends[0] < ends[1])
        .map(lambda ends: f"{ends[0]}-{ends[1]}")
    )
    steps = st.integers(2, max(2, most // 2)).map(lambda step: f"*/{step}")
    lists = st.lists(number, min_size=1, max_size=3, unique=True).map(
        lambda ns: ",".join(map(str, ns))
    )
    return st.one_of(st.just("*"), lists, spans, steps)


expressions = st.builds(
    lambda *texts: " ".join(texts),
    field(0, 59),
    st.one_of(st.just("*"), st.integers(0, 4).map(str), field(0, 23)),
    st.one_of(st.just("*"), st.just("*"), field(1, 31), st.just("l")),
    st.one_of(st.just("*"), st.just("*"), field(1, 12)),
    st.one_of(st.just("*"), st.just("*"), field(0, 6), st.just("5#1"), st.just("L0")),
)


with_seconds = st.builds(
    lambda minutes, seconds: f"{minutes} {seconds}", expressions, field(0, 59)
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(with_seconds, st.sampled_from(ZONES_AND_CHANGES), st.booleans(), st.integers(-80, 20))
def test_any_schedule_of_seconds_matches_the_naive_enumerator(
    expression, zone_and_changes, forward, minutes
):
    zone, *changes = zone_and_changes
    start = at(changes[0 if forward else 1]) + timedelta(minutes=minutes)
    end = start + timedelta(minutes=80)
    try:
        schedule = Schedule(expression, zone)
    except ScheduleError:
        assume(False)
    assert_agrees(schedule, start, end)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(expressions, st.sampled_from(ZONES_AND_CHANGES), st.booleans(), st.integers(-20, 20))
def test_any_schedule_matches_the_naive_enumerator(expression, zone_and_changes, forward, hours):
    zone, *changes = zone_and_changes
    start = at(changes[0 if forward else 1]) + timedelta(hours=hours)
    end = start + timedelta(hours=12)
    try:
        schedule = Schedule(expression, zone)
    except ScheduleError:
        assume(False)
    due = assert_agrees(schedule, start, end)
    for moment in (start, start + timedelta(hours=5, minutes=7, seconds=1)):
        earlier = [known for known in due if known <= moment]
        if earlier:
            assert schedule.last_until(moment) == earlier[-1]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expressions, st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
def test_outside_changes_it_agrees_with_croniter(expression, moment):
    moment = moment.replace(tzinfo=UTC)
    both_days = expression.split()[2] != "*" and expression.split()[4] != "*"
    assume(not (both_days and expression.split()[4] in ("5#1", "L0")))  # croniter stalls on these
    try:
        schedule = Schedule(expression)
    except ScheduleError:
        assume(False)
    assert schedule.next_after(moment) == croniter(expression, moment).get_next(datetime)


def test_six_fields_read_seconds_last():
    schedule = Schedule("0 12 * * * 0,30")
    assert schedule.upcoming(at("2026-01-01T11:59:59"), 3) == [
        at("2026-01-01T12:00:00"),
        at("2026-01-01T12:00:30"),
        at("2026-01-02T12:00:00"),
    ]


def test_a_per_second_schedule_crosses_the_change_of_new_york():
    schedule = Schedule("* * * * * *", "America/New_York")
    change = at("2026-03-08T07:00:00")
    start, end = change - timedelta(seconds=60), change + timedelta(seconds=60)
    assert len(assert_agrees(schedule, start, end)) == 120


@pytest.mark.parametrize("offset", [-60, 0, 60])
def test_the_next_moment_is_strictly_later_a_minute_before_at_and_after(offset):
    noon = at("2026-05-05T12:00:00")
    expected = noon if offset < 0 else noon + timedelta(days=1)
    assert Schedule("0 12 * * *").next_after(noon + timedelta(seconds=offset)) == expected


def test_a_week_of_seconds_is_counted_without_listing_them():
    start = at("2026-05-05T12:00:00")
    assert Schedule("* * * * * *").count_between(start, start + timedelta(days=7)) == 604_800


def test_rare_days_are_found():
    assert Schedule("0 0 29 2 *").next_after(at("2096-03-01T00:00:00")) == at(
        "2104-02-29T00:00:00"
    )
    assert Schedule("0 0 * 2 mon#5").next_after(at("2026-01-01T00:00:00")) == at(
        "2044-02-29T00:00:00"
    )


def test_the_ends_of_the_calendar_have_no_next_or_previous_moment():
    assert Schedule("0 0 1 1 *").next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert Schedule("0 0 2 1 *").last_until(datetime.min.replace(tzinfo=UTC)) is None
    ends = at("9998-12-30T00:00:00"), at("9999-12-31T23:00:00")
    assert list(Schedule("0 0 1 1 *", "Asia/Tokyo").between(*ends)) == [at("9998-12-31T15:00:00")]


def test_h_is_spread_by_the_key_and_stays_the_same():
    minutes = {
        Schedule("H * * * *", key=str(n)).next_after(at("2026-01-01T00:00:00")) for n in range(50)
    }
    assert len(minutes) > 10
    assert Schedule("H * * * *", key="a") == Schedule("H * * * *", key="a")


def test_aliases_match_their_names():
    start = at("2026-05-05T12:10:00")
    for alias, plain in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
    ]:
        assert Schedule(alias).upcoming(start, 3) == Schedule(plain).upcoming(start, 3)


def test_from_sunday_to_sunday_is_every_day():
    start = at("2026-05-05T12:10:00")
    assert Schedule("0 0 * * 0-7").upcoming(start, 8) == Schedule("@daily").upcoming(start, 8)


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        ("5,* * * * *", "* * * * *"),
        ("0 1,* * * *", "0 * * * *"),
        ("0 0 1,* * *", "0 0 * * *"),
        ("0 0 * 1,* *", "0 0 * * *"),
        ("0 0 * * 1,*", "0 0 * * *"),
        ("0 0 * * * 1,*", "0 0 * * * *"),
    ],
)
def test_a_star_in_a_list_is_every_value(expression, plain):
    start = at("2026-05-05T12:10:00")
    assert Schedule(expression).upcoming(start, 5) == Schedule(plain).upcoming(start, 5)


def test_a_schedule_is_a_value():
    schedule = Schedule("0 12 * * *", "Europe/Berlin")
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert len({schedule, Schedule("0 12 * * *", "Europe/Berlin")}) == 1
    assert repr(schedule) == "Schedule(expression='0 12 * * *', timezone='Europe/Berlin', key='')"


def test_a_naive_moment_is_rejected_with_the_fix():
    with pytest.raises(ValueError, match=r"has no time zone\. Pass an aware datetime"):
        Schedule("* * * * *").next_after(datetime(2026, 1, 1))


REFUSALS = [
    (None, "A schedule must be a string such as '*/5 * * * *', not NoneType."),
    (b"* * * * *", "A schedule must be a string such as '*/5 * * * *', not bytes."),
    (
        "",
        "The schedule '' has 0 fields, not five (minute hour day-of-month month day-of-week) or six (seconds last).",
    ),
    (
        "* * * *",
        "The schedule '* * * *' has 4 fields, not five (minute hour day-of-month month day-of-week) or six (seconds last).",
    ),
    (
        "* * * * * * *",
        "The schedule '* * * * * * *' ends with a year, but schedules have no field for it. Write '* * * * * *', and set start_running and end_running.",
    ),
    ("61 * * * *", "minute: 61 is out of range. Use 0 to 59."),
    ("* 24 * * *", "hour: 24 is out of range. Use 0 to 23."),
    ("* * 0 * *", "day-of-month: 0 is out of range. Use 1 to 31."),
    ("* * * 13 *", "month: 13 is out of range. Use 1 to 12."),
    ("* * * * 8", "day-of-week: 8 is out of range. Use 0 to 7."),
    ("* * * * * 60", "second: 60 is out of range. Use 0 to 59."),
    ("x * * * *", "minute: 'x' is not a valid value. Use 0 to 59."),
    ("r * * * *", "minute: 'r' is random. Use 'h', which is fixed for each task."),
    ("5-5 * * * *", "minute: '5-5' starts where it ends. Write '5'."),
    ("* * * * sun-7", "day-of-week: 'sun-7' starts where it ends. Write 'sun'."),
    ("*/61 * * * *", "minute: the step of '*/61' must be a number from 1 to 60."),
    ("*/0 * * * *", "minute: the step of '*/0' must be a number from 1 to 60."),
    (
        "٣ * * * *",
        "The schedule '٣ * * * *' contains characters other than printable ASCII. Use digits, letters and single spaces.",
    ),
    (
        "*\u00a0* * * *",
        "The schedule '*\\xa0* * * *' contains characters other than printable ASCII. Use digits, letters and single spaces.",
    ),
    (
        "* * * *\n*",
        "The schedule '* * * *\\n*' contains characters other than printable ASCII. Use digits, letters and single spaces.",
    ),
    ("* * * * 7-7", "day-of-week: '7-7' starts where it ends. Write '7'."),
    (
        "0 0 30 2 *",
        "The schedule '0 0 30 2 *' can never match: its day does not exist in any of its months.",
    ),
    (
        "@often",
        "'@often' is not a valid alias. Use five fields or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.",
    ),
    ("*" * 256, "The schedule has 256 characters. Use at most 255."),
]


@pytest.mark.parametrize(("expression", "message"), REFUSALS)
def test_an_impossible_schedule_is_rejected(expression, message):
    with pytest.raises(ScheduleError) as refusal:
        Schedule(expression)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Berln", "Unknown time zone 'Europe/Berln'. Did you mean 'Europe/Berlin'?"),
        (
            "../../etc/passwd",
            "Unknown time zone '../../etc/passwd'. Use a name such as 'Europe/Berlin'.",
        ),
        ("", "'' is not a valid time zone. Use a name such as 'Europe/Berlin'."),
        (None, "None is not a valid time zone. Use a name such as 'Europe/Berlin'."),
        ([], "[] is not a valid time zone. Use a name such as 'Europe/Berlin'."),
    ],
)
def test_an_unknown_zone_is_rejected(zone, message):
    with pytest.raises(ScheduleError) as refusal:
        Schedule("* * * * *", zone)
    assert str(refusal.value) == message
