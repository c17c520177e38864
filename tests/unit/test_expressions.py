"""Which texts are schedules, which values do their fields have, and what do messages suggest?"""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from croniter import croniter

from sisy.schedules import Schedule, ScheduleError
from sisy.schedules.expression import parse, unwrapped
from sisy.schedules.names import VALUES

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

WRAPPING = [
    (name, start, end)
    for name, values in VALUES.items()
    for start in values
    for end in values
    if start > end
]


def naive_walk(name: str, start: int, end: int) -> list[int]:
    """Count through the values of a field, one after another, from ``start`` around to ``end``."""
    walked = [start]
    while walked[-1] != end:
        following = walked[-1] + 1
        walked.append(following if following in VALUES[name] else VALUES[name][0])
    return walked


def values_of(expression: str) -> dict[str, set[int]]:
    fields = parse(expression)
    return {
        "minute": set(fields.minutes),
        "hour": set(fields.hours),
        "day-of-month": set(fields.day_rule.days or VALUES["day-of-month"]),
        "month": set(fields.day_rule.months),
        "day-of-week": set(VALUES["day-of-week"])
        if fields.day_rule.weekdays is None
        else set(fields.day_rule.weekdays),
        "second": set(fields.seconds),
    }


def test_every_wrapping_stepped_range_matches_a_naive_walk():
    for name, start, end in WRAPPING:
        walked = naive_walk(name, start, end)
        for step in range(1, len(VALUES[name]) + 1):
            expected = ",".join(map(str, walked[::step]))
            assert unwrapped(name, f"{start}-{end}/{step}") == expected, (name, start, end, step)


def test_schedules_have_the_values_of_a_naive_walk_in_every_field():
    """Read every range of every field, each with some of its steps, several to an expression."""
    ranges = {name: [(s, e) for field, s, e in WRAPPING if field == name] for name in VALUES}
    for number in range(len(ranges["minute"])):
        chosen = {
            name: (*pairs[number % len(pairs)], number * 7 % len(VALUES[name]) + 1)
            for name, pairs in ranges.items()
        }
        expression = " ".join(f"{start}-{end}/{step}" for start, end, step in chosen.values())
        found = values_of(expression)
        for name, (start, end, step) in chosen.items():
            expected = set(naive_walk(name, start, end)[::step])
            assert found[name] == expected, (name, expression)


@pytest.mark.parametrize(
    ("expression", "name", "values"),
    [
        ("0 23-3/2 * * *", "hour", {23, 1, 3}),
        ("50-10/7 * * * *", "minute", {50, 57, 4}),
        ("0 0 * oct-mar/2 *", "month", {10, 12, 2}),
        ("0 0 * * fri-mon/2", "day-of-week", {5, 0}),
        ("0 0 * * 1-7/2", "day-of-week", {1, 3, 5, 0}),
        ("0 0 * * 5-7/2", "day-of-week", {5, 0}),
        ("0 0 * * 0-7/3", "day-of-week", {0, 3, 6}),
        ("0 0 25-l/3 * *", "day-of-month", {25, 28, 31}),
        ("0 0 25-5/3 * *", "day-of-month", {25, 28, 31, 3}),
        ("3,50-10/7 * * * *", "minute", {3, 50, 57, 4}),
        ("5/15 * * * *", "minute", {5, 20, 35, 50}),
    ],
)
def test_ranges_and_steps_have_their_intuitive_meaning(expression, name, values):
    assert values_of(expression)[name] == values


@pytest.mark.parametrize("name", VALUES)
def test_a_step_may_be_as_wide_as_its_field_and_no_wider(name):
    position = list(VALUES).index(name)
    widest = len(VALUES[name])

    def expression(item):
        texts = ["0", "0", "*", "*", "*", "0"]
        texts[position] = item
        return " ".join(texts)

    first, last = VALUES[name][0], VALUES[name][-1]
    assert values_of(expression(f"*/{widest}"))[name] == {first}
    assert values_of(expression(f"{first + 1}-{last}/{widest}"))[name] == {first + 1}
    assert values_of(expression(f"{last}-{first}/{widest}"))[name] == {last}
    for key in map(str, range(200)):  # some are hashed to the last value
        parse(expression(f"h/{widest}"), key)
    for item in (f"*/{widest + 1}", f"{first}-{last}/{widest + 1}", f"h/{widest + 1}"):
        with pytest.raises(ScheduleError) as rejection:
            parse(expression(item), "x")
        assert all(part in str(rejection.value) for part in (name, repr(item), f"1 to {widest}"))


def days_due(expression: str, count: int) -> list[datetime]:
    return Schedule(expression).upcoming(NEW_YEAR - timedelta(seconds=1), count)


@pytest.mark.parametrize("day", range(1, 32))
def test_the_nearest_weekday_matches_croniter(day):
    expression = f"0 9 {day}w * *"
    reference = croniter(expression, NEW_YEAR - timedelta(seconds=1))
    assert days_due(expression, 40) == [reference.get_next(datetime) for _ in range(40)]


def test_the_last_weekday_of_the_month_is_from_monday_to_friday():
    expected = []
    for month in range(1, 13):
        day = datetime(2026, month, monthrange(2026, month)[1], tzinfo=UTC)
        while day.isoweekday() > 5:
            day -= timedelta(days=1)
        expected.append(day)
    assert days_due("0 0 lw * *", 12) == expected
    assert days_due("0 0 LW * *", 12) == expected


def test_nearest_weekdays_combine_with_days_and_weekdays():
    def dates(expression, count):
        return [due.strftime("%m-%d") for due in days_due(expression, count)]

    assert dates("0 0 1w,15w * *", 6) == ["01-01", "01-15", "02-02", "02-16", "03-02", "03-16"]
    assert dates("0 0 15w,l feb *", 2) == ["02-16", "02-28"]
    assert dates("0 0 15w feb sat", 5) == ["02-07", "02-14", "02-16", "02-21", "02-28"]
    assert dates("0 0 15w feb 0-6", 3) == ["02-01", "02-02", "02-03"]
    assert dates("0 0 *,15w feb *", 3) == ["02-01", "02-02", "02-03"]
    assert days_due("0 0 W15 * *", 9) == days_due("0 0 15w * *", 9)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("0 9 * * MON-FRI", "0 9 * * 1-5"),
        ("0 9 * JAN,Feb Sun", "0 9 * 1,2 0"),
        ("0 9 ? * MON", "0 9 * * 1"),
        ("0 9 15 * ?", "0 9 15 * *"),
        ("  0\t9 * * *  ", "0 9 * * *"),
        ("@DAILY", "0 0 * * *"),
    ],
)
def test_case_marks_and_spaces_do_not_matter(typed, plain):
    assert parse(typed) == parse(plain)


CORRECTED = [
    # day-of-week
    ("0 9 * * 5L", "day-of-week: '5L' is not a valid value.", "l5"),
    ("0 9 * * friL", "day-of-week: 'friL' is not a valid value.", "l5"),
    ("0 9 * * L-fri", "day-of-week: 'L-fri' is not a valid value.", "l5"),
    ("0 9 * * 5#L", "day-of-week: '5#L' is not a valid value.", "l5"),
    ("0 9 * * L", "day-of-week: 'L' is not a valid value.", "l5"),
    ("0 9 * * mon#1,3", "day-of-week: 'mon#1,3' is not a valid value.", "mon#1,mon#3"),
    ("0 9 * * 1#6", "day-of-week: '1#6' is not a valid value.", "1#1"),
    ("0 9 * * tue#0", "day-of-week: 'tue#0' is not a valid value.", "tue#5"),
    ("0 9 * * monday", "day-of-week: 'monday' is not a valid value.", "mon"),
    ("0 9 * * Monday-Friday", "day-of-week: 'Monday-Friday' is not a valid value.", "mon-fri"),
    ("0 9 * * tues,thurs", "day-of-week: 'tues' is not a valid value.", "tue"),
    ("0 9 * * mon..fri", "day-of-week: 'mon..fri' is not a valid value.", "mon-fri"),
    # day-of-month
    ("0 9 L-3 * *", "day-of-month: 'L-3' is not a valid value.", "lw"),
    ("0 9 -3 * *", "day-of-month: '-3' is not a valid value.", "l"),
    ("0 9 w * *", "day-of-month: 'w' is not a valid value.", "15w"),
    ("0 9 1-5w * *", "day-of-month: '1-5w' is not a valid value.", "15w"),
    # any field
    ("/15 * * * *", "minute: '/15' is not a valid value.", "*/15"),
    ("*5 * * * *", "minute: '*5' is not a valid value.", "*/5"),
    ("*/5m * * * *", "minute: '*/5m' is not a valid value.", "*/5"),
    ("1..5 * * * *", "minute: '1..5' is not a valid value.", "1-5"),
    ("? 9 * * *", "minute: '?' is not a valid value.", "*"),
    ("h,30 9 * * *", "minute: 'h' is not a valid value.", "h/15"),
    ("h(9-1) 9 * * *", "minute: 'h(9-1)' is not a valid value.", "h(0-5)"),
    ("0 9 * January *", "month: 'January' is not a valid value.", "jan"),
    ("0 9 * sept-dec *", "month: 'sept-dec' is not a valid value.", "sep-dec"),
    # whole texts
    ("@every 5m", "The schedule '@every 5m' is an interval", "*/5 * * * *"),
    ("@every 1h", "The schedule '@every 1h' is an interval", "0 * * * *"),
    ("@every 1h30m", "The schedule '@every 1h30m' is an interval", "0 */2 * * *"),
    ("every 2 hours", "The schedule 'every 2 hours' is an interval", "0 */2 * * *"),
    ("every minute", "The schedule 'every minute' is an interval", "* * * * *"),
    ("rate(5 minutes)", "The schedule 'rate(5 minutes)' is an interval", "*/5 * * * *"),
    ("10s", "The schedule '10s' is an interval", "* * * * * */10"),
    ("1 week", "The schedule '1 week' is an interval", "0 0 * * 0"),
    ("09:30", "The schedule '09:30' is a time of day.", "30 9 * * *"),
    ("9 pm", "The schedule '9 pm' is a time of day.", "0 21 * * *"),
    ("9:30 * * * *", "minute: '9:30' is not a valid value.", "30 9 * * *"),
    ("0 12am * * *", "hour: '12am' is not a valid value.", "0 0 * * *"),
    ("daily", "'daily' is not a valid alias.", "@daily"),
    ("@dayly", "'@dayly' is not a valid alias.", "@daily"),
    ("@reboot", "The schedule '@reboot' has no time.", "@daily"),
    ("CRON_TZ=Asia/Tokyo 0 9 * * *", "The schedule 'CRON_TZ=Asia/Tokyo", "0 9 * * *"),
    ("TZ=UTC @daily", "The schedule 'TZ=UTC @daily' contains a time zone.", "@daily"),
    ("0 9 * * * Europe/Berlin", "The schedule '0 9 * * * Europe/Berlin'", "0 9 * * *"),
    ("0 9 * * * 30 utc", "The schedule '0 9 * * * 30 utc' contains a time zone.", "0 9 * * * 30"),
    ("0 0 12 * * ?", "The schedule '0 0 12 * * ?' begins with seconds", "0 12 * * *"),
    ("30 0 9 ? * MON-FRI", "The schedule '30 0 9 ? * MON-FRI'", "0 9 * * MON-FRI 30"),
    ("0 0 9 ? * 2#1 *", "The schedule '0 0 9 ? * 2#1 *' begins", "0 9 * * 2#1"),
    ("cron(0 12 * * ? *)", "The schedule 'cron(0 12 * * ? *)' is an AWS", "0 12 * * *"),
    ("0 0 0 1 1 *", "The schedule '0 0 0 1 1 *' begins with seconds", "0 0 1 1 *"),
    ("0 0 0 1 1 * 2027", "The schedule '0 0 0 1 1 * 2027' begins with ", "0 0 1 1 *"),
    ("0 0 1 1 * 30 2027", "The schedule '0 0 1 1 * 30 2027' ends with a year", "0 0 1 1 * 30"),
    ("0 0 1 1 * 2027", "The schedule '0 0 1 1 * 2027' ends with a year", "0 0 1 1 *"),
    ("0 9 * * * root /bin/true", "The schedule '0 9 * * * root /bin/true' ends", "0 9 * * *"),
    ("0 9 * * * # daily", "The schedule '0 9 * * * # daily' ends with '# daily'", "0 9 * * *"),
]


@pytest.mark.parametrize(("expression", "began", "suggestion"), CORRECTED)
def test_a_message_suggests_a_valid_expression(expression, began, suggestion):
    with pytest.raises(ScheduleError) as rejection:
        Schedule(expression, key="x")
    message = str(rejection.value)
    assert message.startswith(began)
    assert f"'{suggestion}'" in message.removeprefix(began)
    field = message.partition(":")[0]
    if field in VALUES and " " not in suggestion:
        texts = ["0", "0", "*", "*", "*", "0"]
        texts[list(VALUES).index(field)] = suggestion
        suggestion = " ".join(texts)
    Schedule(suggestion, key="x")


def rejection_of(expression: str) -> str:
    with pytest.raises(ScheduleError) as rejection:
        Schedule(expression, key="x")
    return str(rejection.value)


def test_a_message_says_which_field_replaces_a_zone_or_a_year():
    assert rejection_of("CRON_TZ=europe/berlin 0 9 * * *").endswith(
        "contains a time zone. Write '0 9 * * *', and set timezone to 'Europe/Berlin'."
    )
    assert rejection_of("0 0 1 1 * 2027").endswith("and set start_running and end_running.")


def test_weekdays_of_quartz_are_counted_from_sunday():
    assert "In Quartz, weekday 1 is Sunday; in Sisy, 1 is Monday." in rejection_of("0 0 9 ? * 2-6")
    assert "In Quartz" not in rejection_of("0 0 9 ? * MON#1")


@pytest.mark.parametrize("name", ["okt", "ene", "mai", "juil", "maerz!"])
def test_names_of_another_language_are_not_guessed(name):
    assert rejection_of(f"0 0 * {name} *") == (
        f"month: {name!r} is not a valid value. Use 1 to 12, or jan, feb, mar, apr, may, jun, "
        "jul, aug, sep, oct, nov, dec."
    )
    assert rejection_of("0 0 * * lun") == (
        "day-of-week: 'lun' is not a valid value. Use 0 to 7, or sun, mon, tue, wed, thu, fri, "
        "sat, 'mon#2' or 'l5'."
    )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 mon * * *", "hour: 'mon' is not a valid value. Use 0 to 23. The fifth field is the"),
        ("1, 2 * * * *", "minute: '' is not a valid value. Remove the extra comma; a list has no"),
        ("0 0 31-l * *", "day-of-month: '31-l' starts where it ends. Write '31'."),
        ("0 0 0w * *", "day-of-month: 0 in '0w' is out of range. Use 1 to 31."),
        ("0 0 32w * *", "day-of-month: 32 in '32w' is out of range. Use 1 to 31."),
        ("0 0 * * mon,tue#2", "day-of-week: 'mon,tue#2' is not a valid value: it combines 'mon'"),
        ("'0 9 * * *'", "The schedule '0 9 * * *' is in quotes. Write 0 9 * * *, without them."),
        ("noon", "The schedule 'noon' has 1 field, not five"),
        ("99:99", "The schedule '99:99' has 1 field, not five"),
        ("@every 2 months", "'@every 2 months' is not a valid alias."),
    ],
)
def test_other_texts_get_an_explanation(expression, message):
    assert rejection_of(expression).startswith(message)


def test_no_text_makes_a_message_fail():
    """Try what the pieces of expressions make together: each text is read or rejected."""
    pieces = ["*", "5", "l", "w", "#", "/", "-", ",", "mon", "h", "?", "..", "@", ":", "("]
    rejected = 0
    for first, second, third in product(pieces, repeat=3):
        try:
            Schedule(f"* * {first}{second} * {second}{third}", key="x")
        except ScheduleError:
            rejected += 1
    assert rejected > 0.8 * len(pieces) ** 3


@pytest.mark.parametrize(
    "piece", ["s", "1s", "1 s,", "every ", "@", "(", "9:", "l", "mon#1,", "w-"]
)
def test_a_long_text_is_rejected_without_delay(piece):
    """A pattern that tries every way to divide such a text would never return."""
    for text in (piece * (255 // len(piece)), (piece * 255)[:254] + "!"):
        rejection_of(text)
        rejection_of(f"* * * * {text}"[:255])
