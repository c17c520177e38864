"""A busy time: which tasks are due, how they can be spread, and what that does to the load."""

from urllib.parse import unquote

import pytest
from django.contrib.admin.models import LogEntry
from django.core.cache import cache

from sisy.dashboard.pages import peak
from sisy.models import RunState, Task, TaskChange
from sisy.reports import spreading
from sisy.reports.load import due_groups
from sisy.reports.spreading import HASHED, compare, due_tasks, hashed, spread_copy
from tests.admin.pages import text_of
from tests.admin.people import browser_of, browser_of_superuser
from tests.dashboard.pressing import press
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.database, pytest.mark.django_db]

MIDNIGHT = NOON + 12 * HOUR
PAGE = "/sisy/load/peak/"
AT = f"{PAGE}?at=2026-05-06T00:00:00%2B00:00"
LINK = unquote(AT)


@pytest.fixture(autouse=True)
def noon(at_time):
    cache.clear()
    return at_time(NOON)


@pytest.fixture
def pile():
    """Thirty tasks that are due at midnight, and one that is not."""
    scheduled("30 4 * * *", label="other")
    return [scheduled("0 0 * * *", label=f"invoice {n}") for n in range(30)]


def due(start=MIDNIGHT, end=MIDNIGHT + SECOND, way=HASHED):
    return due_tasks("default", groups(), start, end, way)


def groups():
    return due_groups("default", NOON, NOON + 7 * DAY).groups


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 * * *", "h 0 * * *"),
        ("30 2 * * mon 15", "h 2 * * mon 15"),
        ("@daily", "h 0 * * *"),
        ("*/15 * * * *", "h/15 * * * *"),
        ("5/10 * * * *", "h/10 * * * *"),
        ("* * * * *", None),
        ("h 0 * * *", None),
        ("0,30 * * * *", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_h_takes_the_place_of_a_fixed_minute(expression, expected):
    assert hashed(expression) == expected


def test_a_spread_is_only_made_longer():
    task = scheduled("0 0 * * *", spread=30 * MINUTE)
    assert spread_copy(task, "15") is None
    assert spread_copy(task, "60").spread == HOUR
    assert task.spread == 30 * MINUTE


def test_the_tasks_that_are_due_in_a_time_span_are_listed(pile):
    assert [one.task.pk for one in due()] == [task.pk for task in sorted(pile, key=str)]
    assert due(MIDNIGHT + SECOND, MIDNIGHT + HOUR) == []
    assert [one.task.label for one in due(MIDNIGHT, MIDNIGHT + DAY)][-1] == "other"


def test_each_task_has_its_own_typical_duration(pile):
    for task, minutes in zip(pile, (2, 4), strict=False):
        began = NOON - DAY
        times = {"started_at": began, "finished_at": began + minutes * MINUTE}
        task.new_run(now=began, state=RunState.SUCCEEDED, **times).save()
    takes = {one.task.label: one.takes for one in due()}
    assert [takes[f"invoice {n}"] for n in range(3)] == [2 * MINUTE, 4 * MINUTE, None]


def test_paused_tasks_and_tasks_outside_their_dates_are_left_out(pile):
    pile[0].pause()
    Task.objects.filter(pk=pile[1].pk).update(end_running=MIDNIGHT)
    assert len(due()) == 28


def test_h_spreads_the_load_over_the_hour(pile):
    load = compare(due(), MIDNIGHT)
    assert [cell.starts for cell in load.before] == [30] + 23 * [0]
    assert sum(cell.starts for cell in load.after) == 30
    assert max(cell.starts for cell in load.after) < 10
    assert sum(cell.starts for cell in load.after[12:]) == 0


@pytest.mark.parametrize(("way", "slices"), [("15", 3), ("60", 12)])
def test_a_spread_delays_within_its_time(pile, way, slices):
    load = compare(due(way=way), MIDNIGHT)
    assert sum(cell.starts for cell in load.after[:slices]) == 30
    assert load.after[0].starts < 30


def test_a_task_that_is_due_all_the_time_is_not_part_of_the_preview():
    scheduled("* * * * * */5")
    load = compare(due(NOON, NOON + HOUR, "15"), NOON)
    assert sum(cell.starts for cell in load.before) == 0


def test_the_page_lists_tasks_by_name_and_shows_the_load_before_and_after(pile):
    text = text_of(browser_of_superuser().get(AT))
    assert "Due at 2026-05-06 00:00:00" in text
    assert "Now at most 30 in 5 min" in text
    assert "After the change at most" in text
    assert "invoice 7 2026-05-06 00:00:00 - 0 0 * * * h 0 * * * At 00:" in text
    assert "other" not in text


def test_only_the_tasks_that_cause_the_peak_are_selected(pile):
    scheduled("*/10 * * * *", label="prices")
    scheduled("*/10 * * * *", label="stock")
    scheduled("0 0 * * *", label="of another queue", queue="slow")
    page = browser_of_superuser().get(AT)
    html = page.content.decode()
    assert html.count('name="pk"') == 33
    for task in Task.objects.filter(next_run__lte=MIDNIGHT):
        is_selected = f'value="{task.pk}" checked' in html
        assert is_selected == task.label.startswith("invoice"), task.label
    text = text_of(page)
    assert "Tasks 33 tasks, 30 of them with the same schedule, UTC" in text
    assert "Now at most 30 in 5 min" in text


def test_if_no_tasks_share_a_schedule_none_is_selected_and_the_list_comes_first():
    for minute in (0, 10):
        scheduled(f"{minute} 0 * * *", label=f"at {minute}")
    page = browser_of_superuser().get(f"{AT}&minutes=60")
    assert "checked" not in page.content.decode()
    text = text_of(page)
    assert text.index("2 tasks, UTC") < text.index("Spread the tasks")


def test_of_very_many_tasks_the_page_lists_some_and_says_so(pile, monkeypatch):
    assert "there may be more." not in text_of(browser_of_superuser().get(AT))
    for module in (spreading, peak):
        monkeypatch.setattr(module, "MAX_TASKS_LISTED", 7)
    page = browser_of_superuser().get(AT)
    assert page.content.decode().count('name="pk"') == 7
    assert "there may be more." in text_of(page)


def test_without_a_moment_it_shows_the_busiest_time(pile):
    assert "Due at 2026-05-06 00:00:00" in text_of(browser_of_superuser().get(PAGE))


def test_an_empty_site_has_no_task_to_spread():
    assert "No task is due at this time." in text_of(browser_of_superuser().get(PAGE))


def test_the_load_page_leads_to_it(pile):
    page = unquote(browser_of("view_task").get("/sisy/load/").content.decode())
    assert f'href="{LINK}">Spread…</a>' in page
    assert f'href="{LINK}&amp;minutes=15"' in page
    assert f'href="{LINK}&amp;minutes=60"' in page


def test_selected_tasks_are_spread_and_the_change_is_logged(pile):
    client = browser_of_superuser()
    chosen = [pile[0].pk, pile[1].pk]
    page = press(client, AT, {"pk": chosen})
    assert "Spread 2 tasks. The change applies from now on." in text_of(page)
    assert [stored(task).schedule for task in pile[:3]] == ["h 0 * * *"] * 2 + ["0 0 * * *"]
    notes = [str(entry) for entry in LogEntry.objects.filter(object_id=str(pile[0].pk))]
    assert "Changed the schedule from '0 0 * * *'" in notes[0]
    assert "'h 0 * * *'" in notes[0]
    assert TaskChange.objects.filter(task_id__in=chosen).count() == 2
    assert "Now at most 28 in 5 min" in text_of(page)
    assert "invoice 0" not in text_of(page)


def test_spreading_several_tasks_asks_and_names_them(pile):
    text = text_of(browser_of_superuser().post(AT, {"pk": [pile[0].pk, pile[1].pk]}))
    assert "Spread 2 tasks?" in text
    assert (
        "invoice 0 invoice 1 Each gets a minute derived from its label (h), from now on." in text
    )
    assert "Unknown URL parameter" not in text
    assert stored(pile[0]).schedule == "0 0 * * *"


@pytest.mark.parametrize(
    ("schedule", "ways"),
    [
        ("0 0 * * *", ["15", "60"]),
        ("0 */2 * * *", ["15", "60"]),
        ("30 * * * *", ["15"]),
        ("*/30 * * * *", ["15"]),
        ("*/20 * * * *", []),
        ("* * * * *", []),
        ("* * * * * */2", []),
        ("0,10 0 * * *", []),
    ],
)
def test_a_spread_is_at_most_half_of_the_time_between_occurrences(schedule, ways):
    task = scheduled(schedule)
    assert [way for way in ("15", "60") if spread_copy(task, way)] == ways


def test_spread_tasks_show_when_they_start_and_the_load_now(pile):
    Task.objects.filter(label__startswith="invoice").update(spread=HOUR)
    page = browser_of_superuser().get(f"{AT}&way=60")
    text = text_of(page)
    assert "Nothing to change: each of these tasks is already spread" in text
    assert "After the change" not in text
    assert "at most 0 in" not in text
    [one] = [each for each in due(way="60") if each.task.pk == pile[0].pk]
    assert MIDNIGHT < one.starts < MIDNIGHT + HOUR
    assert f"starts 2026-05-06 {one.starts:%H:%M:%S}" in text
    load = compare(due(way="60"), MIDNIGHT)
    assert sum(cell.starts for cell in load.before) == 30
    assert all(cell.starts == int(cell.starts) for cell in load.before)


def test_a_spread_is_saved_and_the_schedule_stays(pile):
    client = browser_of_superuser()
    client.post(f"{AT}&way=15", {"pk": [pile[0].pk]})
    assert (stored(pile[0]).spread, stored(pile[0]).schedule) == (15 * MINUTE, "0 0 * * *")


def test_a_second_press_changes_nothing_and_says_so(pile):
    client = browser_of_superuser()
    client.post(AT, {"pk": [pile[0].pk]})
    page = client.post(AT, {"pk": [pile[0].pk]}, follow=True)
    assert "No tasks were spread." in text_of(page)


@pytest.mark.parametrize("asked", [{}, {"pk": "x"}, {"pk": "999"}])
def test_nothing_chosen_changes_nothing(pile, asked):
    page = browser_of_superuser().post(AT, asked, follow=True)
    text = text_of(page)
    assert "Nothing is selected." in text or "No tasks were spread." in text
    assert not TaskChange.objects.exists()


def test_a_task_that_is_not_due_then_is_not_changed(pile):
    other = Task.objects.get(label="other")
    browser_of_superuser().post(AT, {"pk": [other.pk]})
    assert stored(other).schedule == "30 4 * * *"


def test_spreading_needs_the_permission_to_change_tasks(pile):
    client = browser_of("view_task", "run_task", "pause_task")
    page = client.get(AT).content.decode()
    assert 'name="pk"' not in page
    assert "Spread the selected tasks" not in page
    assert client.post(AT, {"pk": [pile[0].pk]}).status_code == 403
    assert stored(pile[0]).schedule == "0 0 * * *"


def test_the_number_of_queries_does_not_grow_with_the_tasks(pile, django_assert_max_num_queries):
    client = browser_of_superuser()
    client.get(AT)
    with django_assert_max_num_queries(10):
        client.get(AT)


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "noon", "2026"]
)
def test_a_moment_that_cannot_be_computed_is_named_in_an_error(pile, at):
    page = browser_of_superuser().get(PAGE, {"at": at})
    assert "is not a valid value for the URL parameter 'at'." in text_of(page)
