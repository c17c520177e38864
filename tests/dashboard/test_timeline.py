"""The timeline and the history paint what happened, and nothing else."""

import re
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from sisy.models import Overlap, Run, RunState, Task
from sisy.reports.task_rows import row_of
from sisy.reports.timeline import Window, timeline
from sisy.worker.claim import claim
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.roles.steps import finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def drawn(**query):
    named = "&".join(f"{name}={value}" for name, value in query.items())
    page = browser_of("view_task").get(f"/sisy/?parts=timeline&{named}")
    return page.content.decode()


def runs_of(task, begin, end, apart=10 * SECOND, by_hand=False):
    """Let runs of a task succeed from one moment to another."""
    number = int((end - begin) / apart)
    moments = [begin + n * apart for n in range(number)]
    Run.objects.bulk_create(
        task.new_run(
            now=moment,
            due_at=None if by_hand else moment,
            state=RunState.SUCCEEDED,
            attempt=1,
            started_at=moment,
            finished_at=moment,
        )
        for moment in moments
    )


def stretches(page):
    found = re.findall(r'class="undrawn" x="([\d.]+)%" y="9" width="([\d.]+)%"', page)
    return [(float(x), float(x) + float(width)) for x, width in found]


@pytest.mark.parametrize("by_hand", [False, True])
def test_nothing_is_painted_where_the_site_did_not_exist(by_hand):
    task = scheduled("* * * * * */10", label="busy")
    runs_of(task, NOON - 2 * HOUR, NOON, by_hand=by_hand)
    [(start, end)] = stretches(drawn())  # of twelve hours, noon in the middle
    assert start == pytest.approx(100 * 4 / 12, abs=0.01)
    assert end == pytest.approx(100 * 5.66 / 12, abs=0.2)  # the newest 120 runs are drawn


def test_nothing_is_painted_where_the_site_was_down():
    task = scheduled("* * * * * */10", label="busy")
    runs_of(task, NOON - 5 * HOUR, NOON - 4 * HOUR)
    runs_of(task, NOON - 2 * HOUR, NOON)
    (first, second) = stretches(drawn())
    assert first == (pytest.approx(100 / 12, abs=0.01), pytest.approx(200 / 12, abs=0.01))
    assert second[0] == pytest.approx(400 / 12, abs=0.01)


def test_successful_runs_are_painted_from_the_first_one_on():
    task = scheduled("* * * * * */10", label="new")
    first = NOON - 68 * MINUTE  # in the middle of a slice
    runs_of(task, first, NOON)
    [(start, _)] = stretches(drawn())
    assert start == pytest.approx(100 * (6 * 60 - 68) / 720, abs=0.01)


def test_failures_are_not_painted_as_succeeded():
    task = scheduled("* * * * * */10", label="busy")
    runs_of(task, NOON - 2 * HOUR, NOON)
    Run.objects.filter(due_at__lt=NOON - HOUR).update(state=RunState.FAILED)
    [(start, _)] = stretches(drawn())
    assert start == pytest.approx(100 * 5 / 12, abs=0.01)


MARKS = r'<(?:rect|line) class="((?:bar|undrawn|forecast|crowded|now)[a-z ]*)"'


def marks(page):
    """Return what is drawn, and what the legend explains."""
    tracks, _, legend = page.partition('class="sisy-legend"')
    return set(re.findall(MARKS, tracks)), set(re.findall(MARKS, legend))


def test_the_legend_lists_exactly_what_is_drawn():
    quiet = scheduled("0 0 1 1 *", label="quiet")
    for each in marks(drawn()):
        assert each == {"now"}
    for hours, state in enumerate(RunState.values, start=1):
        begin = NOON - timedelta(hours=hours / 2)
        quiet.new_run(
            now=begin, state=state, attempt=1, started_at=begin, finished_at=begin + MINUTE
        ).save()
    runs_of(scheduled("* * * * * */10", label="busy"), NOON - 2 * HOUR, NOON)
    slow = scheduled("*/30 * * * *", label="slow", overlap=Overlap.SKIP)
    slow.new_run(
        now=NOON - 5 * HOUR,
        due_at=NOON - 5 * HOUR,
        state=RunState.SUCCEEDED,
        started_at=NOON - 5 * HOUR,
        finished_at=NOON - 4 * HOUR,
    ).save()
    on_page, in_legend = marks(drawn())
    assert on_page == in_legend
    assert on_page == {
        *("bar good", "bar bad", "bar warn", "bar open", "bar quiet"),
        *("undrawn", "forecast", "forecast overlaps", "crowded", "now"),
    }
    text = text_of(browser_of("view_task").get("/sisy/?parts=timeline"))
    assert "cancelled many successful runs upcoming upcoming, will probably overlap" in text


def rows(page):
    return re.findall(r'id="track-(\d+)"', page)


def test_rows_keep_their_order_while_tasks_take_turns_in_being_due_next():
    tasks = [scheduled("0 0 1 1 *", label=label) for label in ("b", "c", "a")]
    before = rows(drawn())
    assert before == [str(tasks[n].pk) for n in (2, 0, 1)]
    for n, task in enumerate(reversed(tasks)):
        Task._base_manager.filter(pk=task.pk).update(next_run=NOON + n * MINUTE)
    assert rows(drawn()) == before


def test_with_many_tasks_those_with_news_come_first_and_then_all(monkeypatch):
    for module in ("sisy.dashboard.pages.overview", "sisy.reports.grid"):
        monkeypatch.setattr(f"{module}.MAX_ROWS", 2)
    tasks = [scheduled("0 0 1 1 *", label=f"task {n}") for n in range(5)]
    for task in tasks[3:]:
        task.run_now()
    seen, query = [], ""
    for _ in range(4):
        page = browser_of("view_task").get(f"/sisy/?parts=timeline&{query}").content.decode()
        seen.append(rows(page))
        query = "".join(re.findall(r'href="\?([^"]*)" rel="next"', page)).replace("&amp;", "&")
    assert seen[0] == [str(task.pk) for task in tasks[3:]]
    assert [len(each) for each in seen[1:]] == [2, 2, 1]
    assert sorted(pk for each in seen[1:] for pk in each) == sorted(str(task.pk) for task in tasks)
    assert query == ""
    assert "First page" in page


def test_the_list_of_tasks_keeps_its_order_by_default():
    for n, label in enumerate(("b", "c", "a")):
        scheduled(f"{n} 13 * * *", label=label)
    page = browser_of("view_task").get("/sisy/tasks/?parts=list").content.decode()
    assert re.findall(r">(a|b|c)</a>", page) == ["a", "b", "c"]


def history(task):
    page = browser_of("view_task").get(f"/sisy/tasks/{task.pk}/?parts=history").content.decode()
    return [
        (float(at), took, late)
        for at, took, late in re.findall(
            r'data-at="([\d.]+)" data-took="(.*?)" data-late="(.*?)"', page
        )
    ]


def test_the_history_runs_forward_after_a_retry():
    task = scheduled("0 0 1 1 *", label="tea")
    for planned, started in ((0, 20), (5, 6), (10, 11)):
        moment = NOON - HOUR + planned * MINUTE
        begin = NOON - HOUR + started * MINUTE
        task.new_run(
            now=moment,
            ready_at=begin,
            due_at=moment,
            state=RunState.SUCCEEDED,
            started_at=begin,
            finished_at=begin + SECOND,
        ).save()
    moments = [at for at, _, _ in history(task)]
    assert moments == sorted(moments)
    assert len(moments) == 3


def test_the_planned_delay_of_a_retry_does_not_make_a_run_late():
    task = scheduled("0 0 1 1 *", label="tea", max_attempts=2, retry_delay=30 * MINUTE)
    task.run_now()
    by = worker()
    [run] = claim(by, ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED)
    again = NOON + 20 * MINUTE
    Run.objects.update(ready_at=again, due_at=NOON)
    [run] = claim(by, ["default"], 1, again + 2 * SECOND)
    finish(run, again + 2 * SECOND)
    assert Run.objects.get().lateness == 2 * SECOND
    [(_, _, late)] = history(task)
    assert late == "2.000"


def test_the_chart_uses_the_zone_of_the_page(settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    page = browser_of("view_task").get(f"/sisy/tasks/{scheduled().pk}/").content.decode()
    assert 'data-zone="Asia/Tokyo"' in page


def test_one_failure_among_many_runs_does_not_paint_all_of_them_red():
    task = scheduled("* * * * * *", label="busy")
    states = [RunState.SUCCEEDED] * 4 + [RunState.FAILED] + [RunState.SUCCEEDED] * 5
    runs = [
        task.new_run(
            now=NOON - HOUR + n * SECOND,
            state=state,
            attempt=1,
            started_at=NOON - HOUR + n * SECOND,
            finished_at=NOON - HOUR + n * SECOND,
        )
        for n, state in enumerate(states)
    ]
    Run.objects.bulk_create(runs)
    window = Window.around(NOON, 48 * HOUR)
    [track] = timeline("default", [row_of(task)], window, NOON, in_full=False)
    [bar] = track.bars
    assert [(part.looks, part.y, part.height) for part in bar.slices] == [
        ("bad", 4, 3),
        ("good", 7, 13),
    ]
    assert (bar.count, bar.run) == (10, runs[4].pk)
    assert bar.words.startswith("9 succeeded, 1 failed · failed · ")


def ticks_of(moment, span):
    window = Window.around(datetime.fromisoformat(moment), span)
    return window.ticks(ZoneInfo("Europe/Berlin"))


def test_no_tick_is_at_an_hour_that_the_clocks_skip():
    places, words = zip(*ticks_of("2026-03-29T01:00+00:00", 12 * HOUR), strict=True)
    assert words[3:7] == ("Sun 29", "01:00", "03:00", "04:00")
    assert {round(end - start, 2) for start, end in pairwise(places)} <= {8.33, 8.34}


@pytest.mark.parametrize("moment", ["2026-03-29T01:00+00:00", "2026-10-25T01:00+00:00"])
def test_each_day_of_a_week_begins_with_a_tick_although_the_clocks_change(moment):
    days = [words for _, words in ticks_of(moment, 14 * DAY)]
    assert len(days) >= 13
    assert not [words for words in days if ":" in words]
