"""The load ahead: how many runs begin when, against the slots of the workers."""

import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest

from sisy.dashboard.charts.heat import by_day, shortened, squares
from sisy.models import Process, Role, RunState
from sisy.reports import load
from sisy.reports.load import Cell, DueGroup, cells, due_groups
from sisy.reports.peaks import busiest
from sisy.schedules import Schedule
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.roles.steps import LEASE
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled

QUARTER = 15 * MINUTE
EXPRESSIONS = [
    "* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 0 * * mon", "5,10 1-4 * * *",
    "* * * * * */20", "0 0 l * *", "15 */3 * * *", "0 12 5 5 *",
]  # fmt: skip
ZONES = ["UTC", "Europe/Berlin", "America/New_York"]


def every(group, start, end):
    """Return each due moment, one by one."""
    schedule = Schedule(group.expression, group.timezone, key=group.key)
    due = schedule.next_after(start - timedelta(microseconds=1))
    while due is not None and due < end:
        yield due
        due = schedule.next_after(due)


@pytest.mark.parametrize("seed", range(12))
def test_each_cell_has_the_runs_that_begin_in_it(seed):
    chance = random.Random(seed)
    start = datetime(2026, chance.choice([3, 10]), 28, 3, tzinfo=UTC)
    groups = [
        DueGroup(
            expression=chance.choice(EXPRESSIONS),
            timezone=chance.choice(ZONES),
            number=chance.randint(1, 9),
        )
        for _ in range(6)
    ]
    expected = Counter()
    for group in groups:
        for due in every(group, start, start + 2 * DAY):
            expected[int((due - start) / QUARTER)] += group.number
    found = cells(groups, start, QUARTER, 192)
    assert [cell.starts for cell in found] == [expected[n] for n in range(192)]
    assert [cell.start for cell in found] == [start + n * QUARTER for n in range(192)]


def test_runs_take_slots_as_long_as_they_usually_take():
    group = DueGroup(expression="0 12 * * *", timezone="UTC", number=4, takes=25 * MINUTE)
    found = cells([group], NOON, 10 * MINUTE, 6)
    assert [cell.busy for cell in found] == [4, 4, 2, 0, 0, 0]


@pytest.mark.parametrize("seed", range(6))
def test_the_fullest_moments_are_those_in_which_most_runs_begin(seed):
    chance = random.Random(seed)
    groups = [
        DueGroup(expression=expression, timezone=chance.choice(ZONES), number=chance.randint(1, 9))
        for expression in chance.sample(EXPRESSIONS, 6)
    ]
    expected = Counter()
    for group in groups:
        for due in every(group, NOON, NOON + DAY):
            expected[due] += group.number
    found = busiest(groups, NOON, NOON + DAY)
    assert found[0].number == max(expected.values())
    for moment in found:
        assert expected[moment.due] == moment.number


def test_a_spread_distributes_starts_over_its_time():
    fields = {"expression": "0 12 * * *", "timezone": "UTC", "number": 6}
    group = DueGroup(**fields, spread=15 * MINUTE, takes=10 * MINUTE)
    found = cells([group], NOON, 10 * MINUTE, 3)
    assert [round(cell.starts, 6) for cell in found] == [4, 2, 0]
    assert [round(cell.busy, 6) for cell in found] == [4, 2, 0]
    assert busiest([group], NOON, NOON + DAY) == []
    assert len(busiest([DueGroup(**fields)], NOON, NOON + DAY)) == 1


def test_an_unreadable_task_does_not_break_the_page():
    groups = [
        DueGroup(expression="61 * * * *", timezone="UTC"),
        DueGroup(expression="* * * * *", timezone="Nowhere"),
        DueGroup(expression="0 12 * * *", timezone="UTC"),
    ]
    assert sum(cell.starts for cell in cells(groups, NOON, HOUR, 24)) == 1
    assert busiest(groups, NOON, NOON + DAY) == []


def test_days_are_those_of_the_readers_zone():
    start = datetime(2026, 3, 28, 22, tzinfo=UTC)
    hourly = [Cell(start=start + n * HOUR, starts=n) for n in range(5)]
    days = by_day(hourly, ZoneInfo("Europe/Berlin"))
    assert [(name, [cell.starts for cell in row if cell]) for name, row in days] == [
        ("Sat 28 Mar", [0]),
        ("Sun 29 Mar", [1, 2, 3, 4]),
    ]
    assert days[1][1][2] is None  # the clocks pass over it


def test_a_repeated_hour_contains_the_runs_of_both_passes():
    start = datetime(2026, 10, 25, 0, tzinfo=UTC)
    hourly = [Cell(start=start + n * HOUR, starts=1, busy=n) for n in range(2)]
    [(_, row)] = by_day(hourly, ZoneInfo("Europe/Berlin"))
    assert (row[2].starts, row[2].busy) == (2, 1)


def test_load_above_the_slots_is_marked():
    found = squares([Cell(start=NOON, starts=4, busy=2.5), Cell(start=NOON, starts=1)], 2, 4)
    assert [(square.level, square.is_over) for square in found] == [(5, True), (2, False)]


def test_a_peak_above_a_constant_load_stands_out():
    found = squares([Cell(start=NOON, starts=n) for n in (900, 942, 900)], 2, 942, 900)
    assert [(square.level, square.height) for square in found] == [(0, 0), (5, 80), (0, 0)]
    assert [square.number for square in found] == ["", "+42", ""]


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, ""), (0.2, "<1"), (7, "7"), (999, "999"), (12_300, "12k"), (2e6, "2M")],
)
def test_numbers_fit_their_cells(number, words):
    assert shortened(number) == words


@pytest.mark.database
@pytest.mark.django_db
class TestPage:
    @pytest.fixture(autouse=True)
    def noon(self, at_time):
        from django.core.cache import cache

        cache.clear()
        return at_time(NOON)

    def test_it_shows_where_runs_pile_up(self):
        Process.join(Role.WORKER, using="default", now=NOON, lease=LEASE, slots=2)
        for n in range(6):
            task = scheduled("0 0 * * *", label=f"invoices {n}")
            times = {"started_at": NOON - DAY, "finished_at": NOON - DAY + HOUR}
            task.new_run(now=NOON - DAY, state=RunState.SUCCEEDED, **times).save()
        scheduled("*/5 * * * *", label="sweep")
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        assert "7 repeating tasks, 2 slots" in text
        assert "2026-05-06 00:00:00 7 invoices 0 (and 5 more) , sweep Spread…" in text
        assert "▲ marks times when the average number of concurrent runs" in text

    def test_a_busy_time_names_first_what_is_seldom_due_and_counts_the_rest(self):
        for n in range(4):
            scheduled(f"* * * * * */{n + 2}", label=f"poll {n}")
        scheduled("*/5 * * * *", label="sweep")
        for n in range(3):
            scheduled("0 * * * *", label=f"hourly {n}")
        scheduled("0 3 * * *", label="backup")
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        times = text[text.index("Busiest times") :]
        assert "03:00:00 9 backup, hourly 0 (and 2 more) , sweep and 4 more Spread…" in times

    def test_busy_times_with_the_same_tasks_are_one_row(self):
        for n in range(2):
            scheduled("0 */5 * * *", label=f"sweep {n}")
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        times = text[text.index("Busiest times") :]
        assert "15:00:00 also at 20:00:00 , 2026-05-06 00:00:00" in times
        assert times.count("Spread…") == 1

    def test_a_busy_time_is_spread_only_if_that_helps(self):
        Process.join(
            Role.WORKER, using="default", now=NOON, lease=LEASE, slots=2, queues=("default",)
        )
        for hour, number, minute in ((3, 2, "0"), (4, 3, "0"), (5, 3, "0,1")):
            for n in range(number):
                scheduled(f"{minute} {hour} * * *", label=f"at {hour} ({n})")
        text = text_of(browser_of("view_task").get("/sisy/load/?parts=map"))
        times = text[text.index("Busiest times") :]
        buttons = dict(re.findall(r"0(\d):00:00 .*?(Spread…|Open tasks)", times))
        assert buttons == {"3": "Open tasks", "4": "Spread…", "5": "Open tasks"}

    def test_a_constant_load_is_the_base_of_the_bars(self):
        for n in range(3):
            scheduled("* * * * *", label=f"poll {n}")
        scheduled("0 0 * * *", label="nightly")
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        assert (
            "Each bar shows the runs that start in a quarter of an hour: at most 1. The 45 runs "
            "that start in every quarter of an hour are left out. Click a bar to see its tasks."
            in text
        )
        assert "00:00:00: +1 above the base, 46 starting in total" in text
        assert "runs that start per hour, without the 180 that start in every hour" in text

    def test_without_a_constant_load_the_bars_show_all_runs(self):
        scheduled("0 0 * * *", label="nightly")
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        assert (
            "Each bar shows the runs that start in a quarter of an hour: at most 1. Click a bar "
            "to see its tasks." in text
        )

    def test_the_first_bar_is_the_current_quarter_of_an_hour(self, at_time):
        at_time(NOON + 51 * MINUTE)
        scheduled("* * * * *")
        html = unquote(browser_of("view_task").get("/sisy/load/").content.decode())
        assert "peak/?at=2026-05-05T12:30:00" not in html
        first = re.search(r'peak/\?at=(.*?)&amp;minutes=15"', html)[1]
        assert first == "2026-05-05T12:45:00+00:00"

    def test_without_a_worker_no_time_is_marked_as_above_the_slots(self):
        scheduled("* * * * *")
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        assert "No worker is running, so no slots are free." in text
        assert "▲" not in text

    def test_each_chart_that_is_scrolled_on_a_phone_says_so(self):
        html = browser_of("view_task").get("/sisy/load/").content.decode()
        hints = re.findall('class="sisy-sideways">(.*?)<', html)
        assert hints == ["Scroll sideways for later times.", "· scroll sideways for later hours"]

    def test_an_empty_site_has_none(self):
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        assert "No two runs start in the same second." in text

    def test_tasks_with_the_same_schedule_are_counted_together(self):
        for n in range(5):
            scheduled("0 13 * * *", label=f"task {n}")
        [group] = due_groups("default", NOON, NOON + DAY).groups
        assert (group.expression, group.number) == ("0 13 * * *", 5)

    def test_schedules_that_depend_on_the_label_are_counted_each(self, monkeypatch):
        for n in range(5):
            scheduled("h * * * *", label=f"task {n}")
        assert len(due_groups("default", NOON, NOON + DAY).groups) == 5
        monkeypatch.setattr(load, "MAX_TASKS_SAMPLED", 2)
        groups = due_groups("default", NOON, NOON + DAY).groups
        assert [group.number for group in groups] == [2.5, 2.5]

    def test_omitted_tasks_are_reported(self, monkeypatch):
        monkeypatch.setattr(load, "MAX_GROUPS", 1)
        scheduled("0 13 * * *")
        scheduled("0 13 * * *")
        scheduled("0 14 * * *")
        found = due_groups("default", NOON, NOON + DAY)
        assert (found.tasks, found.left_out) == (2, 1)
        text = text_of(browser_of("view_task").get("/sisy/load/"))
        assert "1 task is not included" in text

    def test_the_load_is_cached_for_a_while(self, django_assert_max_num_queries):
        scheduled("0 13 * * *")
        client = browser_of("view_task")
        client.get("/sisy/load/")
        scheduled("0 13 * * *")
        with django_assert_max_num_queries(7):
            assert "1 repeating task" in text_of(client.get("/sisy/load/"))
