"""What would run when."""

import csv
from io import StringIO

import pytest
from django.core.management import CommandError

from sisy.models import Process, Role, Run, RunState
from tests.commands.calling import said, told
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def took(task, span):
    run = task.new_run(now=NOON, state=RunState.SUCCEEDED)
    run.started_at, run.finished_at = NOON, NOON + span
    run.save()


def test_each_occurrence_is_shown_in_the_order_of_time_and_nothing_is_planned():
    scheduled("0 */6 * * *", label="tea")
    scheduled("30 9 * * *", label="open").pause()
    scheduled("0 9 * * *", label="shop")
    rows = told("sisy_simulate 2026-05-06 2026-05-07")["occurrences"]
    assert [(row["due"][11:16], row["task"]) for row in rows] == [
        ("00:00", "tea"),
        ("06:00", "tea"),
        ("09:00", "shop"),
        ("12:00", "tea"),
        ("18:00", "tea"),
    ]
    assert not Run.objects.exists()


def test_frequent_tasks_do_not_hide_seldom_ones():
    scheduled("* * * * * *", label="count up")
    scheduled("*/10 * * * *", label="poll")
    scheduled("30 0 * * *", label="backup")
    seldom, _, frequent = said("sisy_simulate 2026-05-06 2026-05-07 --show 5").partition(
        "Frequent tasks:"
    )
    assert seldom.splitlines()[2:] == ["2026-05-06 00:30:00 UTC  backup", ""]
    assert [line.split()[0] for line in frequent.splitlines()[3:5]] == ["poll", "count"]
    assert " 86400" in frequent
    assert "add --show N, --task or --csv" in frequent


def test_of_a_task_that_is_due_too_often_the_first_occurrences_are_shown():
    scheduled("* * * * *", label="poll")
    text = said("sisy_simulate 2026-05-06 2026-05-07 --show 2")
    assert text.splitlines()[2:5] == [
        "2026-05-06 00:00:00 UTC  poll",
        "2026-05-06 00:01:00 UTC  poll",
        "",
    ]


def test_without_a_range_the_next_24_hours_are_simulated():
    scheduled("0 * * * *", label="tea")
    assert told("sisy_simulate")["count"] == 24
    assert told("sisy_simulate 2026-05-06")["count"] == 24


def test_it_follows_the_zone_of_each_task_through_daylight_saving():
    task = scheduled("30 2 * * *", label="night")
    task.timezone = "Europe/Berlin"
    task.save()
    rows = told("sisy_simulate 2027-03-27 2027-03-30")["occurrences"]
    assert [row["local"] for row in rows] == [
        "Sat 02:30:00 Europe/Berlin",
        "Sun 03:00:00 Europe/Berlin",
        "Mon 02:30:00 Europe/Berlin",
    ]


def test_windows_and_iterations_are_kept():
    scheduled("0 * * * *", label="two", iterations=2)
    scheduled("0 * * * *", label="three", end_running=NOON + 4 * HOUR)
    rows = told("sisy_simulate 2026-05-05T12:01 2026-05-06")["occurrences"]
    assert sorted(row["task"] for row in rows) == ["three"] * 3 + ["two"] * 2


def test_the_busiest_minutes_and_the_overlapping_runs_are_named():
    took(scheduled("* * * * *", label="slow"), 90 * MINUTE / 60)
    took(scheduled("* * * * *", label="slow, and may", overlap="allow"), 5 * MINUTE)
    scheduled("0 * * * *", label="tea")
    found = told("sisy_simulate 2026-05-06 2026-05-06T02:00")
    assert found["count"] == 2 * 120 + 2
    assert found["busiest"][0] == {"minute": "2026-05-06T00:00:00+00:00", "runs": 3, "wait": None}
    [met] = found["overlaps"]
    assert (met["task"], met["typical duration"], met["times"]) == ("slow", 90.0, 60)
    assert met["first"] == "2026-05-06T00:01:00+00:00"
    text = said("sisy_simulate 2026-05-06 2026-05-06T02:00 --show 3")
    assert "Probable overlaps with the previous run:" in text


@pytest.fixture
def worker():
    return Process.join(
        Role.WORKER, using="default", now=NOON, lease=HOUR, slots=4, queues=("default",)
    )


def busiest(schedule, number, takes, **fields):
    """Return the busiest minutes of two hours, if tasks with a schedule take so long."""
    for n in range(number):
        took(scheduled(schedule, label=f"invoice {n}", **fields), takes)
    return told("sisy_simulate 2026-05-06 2026-05-06T02:00")["busiest"]


@pytest.mark.usefixtures("worker")
def test_the_time_until_the_last_run_of_a_minute_starts_is_estimated():
    [busy] = busiest("0 0 * * *", 30, 100 * SECOND)
    assert busy == {"minute": "2026-05-06T00:00:00+00:00", "runs": 30, "wait": 700.0}
    assert "11 min 40 s" in said("sisy_simulate 2026-05-06 2026-05-06T02:00")


def test_without_a_worker_no_wait_is_estimated():
    [busy] = busiest("0 0 * * *", 9, 100 * SECOND)
    assert busy["wait"] is None


@pytest.mark.usefixtures("worker")
def test_a_spread_makes_no_pile():
    [busy] = busiest("0 0 * * *", 9, 100 * SECOND, spread=HOUR)
    assert busy["wait"] is None


@pytest.mark.usefixtures("worker")
def test_runs_in_different_seconds_of_a_minute_make_no_pile():
    rows = busiest("0 0 * * * */5", 1, 15 * SECOND, overlap="allow")
    assert [(row["runs"], row["wait"]) for row in rows] == [(12, None)]


def test_as_csv_all_of_them_are_written():
    scheduled("*/10 * * * *", label='tea, "hot"')
    rows = list(csv.DictReader(StringIO(said("sisy_simulate 2026-05-06 2026-05-07 --csv"))))
    assert len(rows) == 144
    assert rows[1]["label"] == 'tea, "hot"'
    assert rows[1]["due"] == "2026-05-06T00:10:00+00:00"


def test_the_load_of_each_minute_is_available():
    scheduled("*/30 * * * *", label="tea")
    scheduled("0 * * * *", label="shop")
    call = "sisy_simulate 2026-05-06 2026-05-06T02:00 --by-minute"
    assert [row["runs"] for row in told(call)] == [2, 1, 2, 1]
    assert said(f"{call} --csv").splitlines()[:2] == ["minute,runs", "2026-05-06T00:00:00+00:00,2"]
    assert "2026-05-06 00:30:00 UTC" in said(call)


def test_only_the_named_tasks_are_simulated():
    scheduled("0 * * * *", label="tea")
    scheduled("0 * * * *", label="shop")
    found = told("sisy_simulate 2026-05-06 2026-05-07 --task tea")
    assert {row["task"] for row in found["occurrences"]} == {"tea"}


def test_an_invalid_range_is_rejected():
    with pytest.raises(CommandError, match=r"^FROM \(2026-05-07 00:00:00 UTC\) is not before TO"):
        said("sisy_simulate 2026-05-07 2026-05-06")
    assert "Nothing is due." in said("sisy_simulate 2026-05-06 2026-05-07")


def test_a_task_that_is_named_twice_is_simulated_once():
    task = scheduled("0 */6 * * *", label="tea")
    named = f"--task tea --task {task.pk}"
    assert told(f"sisy_simulate 2026-05-06 2026-05-07 {named}")["count"] == 4
