"""What people do with tasks from a terminal."""

import shlex
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, load_command_class

from sisy.heartbeat import tick
from sisy.lifecycle.miss import missed_row
from sisy.models import Process, Role, Run, RunState, Task, TaskState
from sisy.testing import sisy_time
from sisy.worker.claim import claim
from tests.app import jobs
from tests.commands.calling import said, seen, told
from tests.roles.steps import finish
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_tasks_are_listed_with_when_they_are_due_next():
    scheduled("0 15 * * *", label="tea")
    scheduled("0 13 * * *", label="lunch").pause("fasting")
    text = said("sisy_tasks list")
    assert "tea" in text
    assert "2026-05-05 15:00:00 UTC" in text
    assert {row["label"] for row in told("sisy_tasks list")} == {"tea", "lunch"}
    assert [row["label"] for row in told("sisy_tasks list --state paused")] == ["lunch"]


def test_in_80_columns_labels_are_told_apart_and_moments_are_whole(monkeypatch):
    for zone in ("UTC", "Asia/Tokyo"):
        label = f"invoices in shop {zone[:5]}"
        scheduled("*/10 6-22 * * *", label=label, queue="labels", timezone=zone)
    scheduled("0 5 * * *", label="old").pause()
    for number, task in enumerate(Task.objects.order_by("pk"), start=1):
        # MariaDB makes keys that are larger than those of all earlier tests.
        Task.objects.filter(pk=task.pk).update(id=number)
    head, _, *rows, hint = seen("sisy_tasks list", monkeypatch).splitlines()
    assert head.split() == ["id", "label", "schedule", "state", "next", "run"]
    assert max(map(len, [head, *rows])) <= 80
    assert "invoices in shop Asia/" in rows[0]
    assert rows[0].endswith("05-05 12:10")
    assert "*/10 6-22 * * * Asia/Tokyo" in rows[0]
    assert "*/10 6-22 * * *  " in rows[1]
    assert "old" in rows[2]  # a paused task is not due
    assert hint == "To see the details of a task: manage.py sisy_tasks show ID"


def test_a_list_without_tasks_says_why_and_what_to_do():
    assert "manage.py sisy_sync" in said("sisy_tasks list")
    assert said("sisy_tasks list --state broken") == "No tasks are broken.\n"


def test_a_task_is_shown_with_its_counts_in_words_and_the_next_step():
    task = scheduled("0 15 * * *", label="tea", note="\nCall Ann.\n")
    task.run_now()
    lines = [line.split(maxsplit=1) for line in said("sisy_tasks show tea").splitlines()]
    assert ["counts", "queued: 1"] in lines
    assert ["overrides", "-"] in lines
    assert ["note", "Call Ann."] in lines
    assert ["retry", "delay        up to 10 s, at random"] in lines
    assert told("sisy_tasks show tea")["retry_delay"] == 10
    assert told("sisy_tasks show tea")["counts"] == {"queued": 1}
    assert f"manage.py sisy_tasks history {task.pk}" in said("sisy_tasks show tea")


def test_a_task_is_shown_with_its_last_run_and_when_it_was_last_due():
    task = scheduled("0 * * * *", label="tea")
    run = task.new_run(now=NOON, due_at=NOON, state=RunState.FAILED, started_at=NOON + MINUTE)
    run.save()
    missed_row(task, NOON + HOUR, NOON + HOUR, 1, "Nothing was up.", NOON).save()
    Task.objects.filter(pk=task.pk).update(last_run=NOON + HOUR)
    [listed], shown_task = told("sisy_tasks list"), told("sisy_tasks show tea")
    for name in ("last_run", "last_result", "missed_since"):
        assert shown_task[name] == listed[name]
    assert shown_task["last_due"] == "2026-05-05T13:00:00+00:00"
    lines = [line.split("  ") for line in said("sisy_tasks show tea").splitlines()]
    values = {line[0]: line[-1].strip() for line in lines}
    assert values["last run"] == "2026-05-05 12:01:00 UTC"
    assert values["last result"] == "failed, then missed"
    assert values["last due"] == "2026-05-05 13:00:00 UTC"


def test_each_change_of_a_task_names_the_next_step():
    task = scheduled("0 15 * * *", label="tea")
    text = said("sisy_tasks run tea")
    assert f"manage.py sisy_runs show {Run.objects.get().pk} --follow" in text
    assert f"To resume: manage.py sisy_tasks resume {task.pk}" in said("sisy_tasks pause tea")
    assert "Its next run is due at 2026-05-05 15:00:00 UTC." in said("sisy_tasks resume tea")


def test_a_task_is_found_by_its_key_its_name_or_its_label():
    task = scheduled("0 15 * * *", label="tea time")
    Task.objects.filter(pk=task.pk).update(name="shop.tea")
    for name in (task.pk, "shop.tea", "'tea time'"):
        assert told(f"sisy_tasks show {name}")["label"] == "tea time"


def test_an_unknown_task_is_answered_with_the_nearest_name():
    scheduled("0 15 * * *", label="tea time")
    with pytest.raises(CommandError, match="Did you mean 'tea time'"):
        said("sisy_tasks show 'tee time'")
    scheduled("0 16 * * *", label="tea time")
    with pytest.raises(CommandError, match="Use one of their keys"):
        said("sisy_tasks show 'tea time'")


def test_an_unknown_task_may_have_been_deleted_so_its_runs_are_named():
    with pytest.raises(CommandError, match=r"sisy_runs list --task 'once upon a time'"):
        said("sisy_tasks show 'once upon a time'")


@pytest.mark.parametrize("command", ["tasks", "alerts", "runs", "queues", "workers"])
def test_help_teaches_with_examples_that_can_be_typed(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    made = load_command_class("sisy", f"sisy_{command}")
    text = made.create_parser("manage.py", f"sisy_{command}").format_help()
    assert max(map(len, text.splitlines())) <= 80
    assert made.examples
    for line in made.examples:
        assert f"  manage.py {line}\n" in text
        name, *words = shlex.split(line)
        assert name == f"sisy_{command}"
        assert made.create_parser("manage.py", name).parse_args(words).verb


def test_the_next_occurrences_are_shown():
    scheduled("0 */6 * * *", label="tea")
    assert [row["due"] for row in told("sisy_tasks next tea -n 2")] == [
        "2026-05-05T18:00:00+00:00",
        "2026-05-06T00:00:00+00:00",
    ]
    Task.objects.get().pause()
    assert "No upcoming occurrences: the task is paused" in said("sisy_tasks next tea")


def test_run_pause_resume_and_cancel_act_on_the_task():
    scheduled("0 15 * * *", label="tea")
    assert "is queued" in said("sisy_tasks run tea")
    assert told("sisy_tasks cancel tea --reason 'no tea'") == {
        "cancelled": 1,
        "asked": 0,
        "stopping": 0,
    }
    assert Run.objects.get().reason == "no tea"
    assert "Paused tea" in said("sisy_tasks pause tea --reason fasting")
    assert Task.objects.get().state_reason == "fasting"
    with pytest.raises(CommandError, match=r"^Cannot pause tea: it is already paused"):
        said("sisy_tasks pause tea")
    assert told("sisy_tasks resume tea")["state"] == TaskState.ACTIVE
    with pytest.raises(CommandError, match="Cannot resume tea"):
        said("sisy_tasks resume tea")


def test_a_pause_may_have_an_end():
    scheduled("0 15 * * *", label="tea", timezone="Europe/Berlin")
    assert "Paused tea until 2026-05-06 16:00:00 CEST." in said(
        "sisy_tasks pause tea --until 2026-05-06T16:00"
    )
    assert Task.objects.get().paused_until == datetime(2026, 5, 6, 14, tzinfo=UTC)
    assert "The task is paused until 2026-05-06 16:00:00 CEST." in said("sisy_tasks why tea")
    assert "2026-05-07 13:00:00 UTC" in said("sisy_tasks next tea -n 1")
    said("sisy_tasks resume tea")
    with pytest.raises(CommandError, match="--until is in the past: 2020-01-01 00:00:00 CET"):
        said("sisy_tasks pause tea --until 2020-01-01")


def test_history_lists_missed_occurrences_among_the_runs_of_their_time():
    task = scheduled(label="tea")
    for n in (3, 1):
        task.new_run(now=NOON - n * HOUR, due_at=NOON - n * HOUR, state=RunState.SUCCEEDED).save()
    missed_row(task, NOON - 2 * HOUR, NOON - 2 * HOUR, 1, "Nothing was up.", NOON).save()
    states = [row["state"] for row in told("sisy_tasks history tea")]
    assert states == ["succeeded", "missed", "succeeded"]
    assert [row["state"] for row in told("sisy_runs list --task tea")["runs"]] == states


def test_history_shows_how_runs_ended_and_why():
    scheduled(label="tea")
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    finish(run, NOON + MINUTE, RunState.FAILED, reason="no water")
    [row] = told("sisy_tasks history tea")
    assert (row["state"], row["reason"], row["late"]) == ("failed", "no water", 0.0)
    assert "no water" in said("sisy_tasks history tea")
    again = told(f"sisy_tasks retry '#{run.pk}'")
    assert Run.objects.get(pk=again["run"]).retry_of_id == run.pk
    with pytest.raises(CommandError, match="Only finished runs can be retried"):
        said(f"sisy_tasks retry '#{again['run']}'")
    with pytest.raises(CommandError, match=r"Run 99999 does not exist.*manage\.py sisy_runs list"):
        said("sisy_tasks retry 99999")
    with pytest.raises(CommandError, match=r"'x' is not a run\. Use its key, such as '#7'"):
        said("sisy_tasks retry x")


def test_a_backfill_is_shown_and_then_made_in_the_zone_of_the_task(noon):
    task = scheduled("0 * * * *", label="tea")
    task.timezone = "Europe/Berlin"
    task.save()
    task.pause()
    noon.moment = NOON + DAY
    line = "sisy_tasks backfill tea 2026-05-05T15:00 2026-05-05T17:00"
    assert [row["due"] for row in told(f"{line} --dry-run")] == [
        "2026-05-05T13:00:00+00:00",
        "2026-05-05T14:00:00+00:00",
    ]
    assert "To submit them, repeat the command without --dry-run." in said(f"{line} --dry-run")
    assert not Run.objects.exists()
    assert told(f"{line} --yes") == {"submitted": 2}
    assert Run.objects.count() == 2
    with pytest.raises(CommandError, match=r"^FROM \(2026-05-06 15:00:00 CEST\) is not before TO"):
        said("sisy_tasks backfill tea 2026-05-06T15:00 2026-05-05T17:00")
    with pytest.raises(CommandError, match=r"^TO \(2026-05-06 17:00:00 CEST\) is in the future"):
        said("sisy_tasks backfill tea 2026-05-06T15:00 2026-05-06T17:00")
    with pytest.raises(CommandError, match="is not a valid date and time"):
        said("sisy_tasks backfill tea yesterday today")


def test_a_backfill_with_nothing_to_run_exits_with_one(noon):
    scheduled("0 * * * *", label="tea").pause()
    noon.moment = NOON + DAY
    line = "sisy_tasks backfill tea 2026-05-05T13:00 2026-05-05T15:00"
    text = said(f"{line} --yes")
    assert text.startswith("Submitted 2 runs of tea. To see them: manage.py sisy_runs list --task")
    left_out = (
        "Nothing to backfill: all 2 occurrences have succeeded, are queued or running, or are not "
        "planned yet."
    )
    with pytest.raises(CommandError, match=f"^{left_out}$") as raised:
        said(line)
    assert raised.value.returncode == 1
    assert said(f"{line} --dry-run") == f"{left_out}\n"
    none_due = "sisy_tasks backfill tea 2026-05-05T13:01 2026-05-05T13:02 --dry-run"
    assert said(none_due) == "Nothing to backfill: the task has no occurrence in this range.\n"


def why(label, moment):
    return said(f"sisy_tasks why {label} {moment.isoformat()}").strip()


def test_why_answers_from_the_ledger():
    scheduled("0 * * * *", label="tea", overlap="skip")
    by = worker(lease=HOUR)
    tick("default", NOON + HOUR)
    assert "is due at 2026-05-05 13:00:00 UTC" in why("tea", NOON + HOUR)
    [run] = claim(by, ["default"], 10, NOON + HOUR)
    assert f"Run {run.pk} is running on worker" in why("tea", NOON + HOUR)
    finish(run, NOON + HOUR, RunState.FAILED, reason="no water")
    assert why("tea", NOON + HOUR) == (
        f"Run {run.pk} failed: no water. It started at 2026-05-05 13:00:00 UTC (0 s late) and "
        "took 0 s."
    )


def test_why_explains_missed_and_skipped_occurrences(noon):
    scheduled("0 * * * *", label="tea", missed="skip")
    noon.moment = NOON + 6 * HOUR
    tick("default", noon.moment)
    assert "This occurrence was missed, together with" in why("tea", NOON + 2 * HOUR)


def test_why_answers_from_the_schedule_if_there_is_no_row(noon):
    task = scheduled("0 * * * *", label="tea", end_running=NOON + 10 * HOUR)
    assert "The current schedule, '0 * * * *', does not match" in why("tea", NOON + MINUTE)
    assert "The next match is 2026-05-05 13:00:00 UTC" in why("tea", NOON + MINUTE)
    assert "It will run at this time" in why("tea", NOON + HOUR)
    assert "because the task runs only until" in why("tea", NOON + 11 * HOUR)
    assert "The task was created later" in why("tea", NOON - HOUR)
    noon.moment = NOON + HOUR + MINUTE
    assert "has not been planned: no heartbeat is running" in why("tea", NOON + HOUR)
    Process.join(Role.HEARTBEAT, using="default", now=noon.moment, lease=MINUTE)
    assert "a heartbeat is running and will plan it" in why("tea", NOON + HOUR)
    task.pause("fasting")
    assert "will not run at this time, because the task is paused: fasting" in why(
        "tea", NOON + 3 * HOUR
    )
    assert "This occurrence was missed" in why("tea", NOON + HOUR)
    noon.moment = NOON + 4 * HOUR
    assert "It was not planned, because the task is paused: fasting" in why("tea", NOON + 3 * HOUR)
    task.resume()
    assert "The task was changed or resumed at" in why("tea", NOON + 3 * HOUR)


def test_commands_work_in_the_tests_of_a_project():
    with sisy_time(NOON) as time:
        scheduled("0 * * * *", fn=jobs.fails, label="tea")
        time.advance(timedelta(hours=1))
        assert "failed" in why("tea", NOON + HOUR)
