"""``sisy_tasks list``: the last run that started, its result, and the filters."""

import pytest
from django.core.management import CommandError

from sisy.lifecycle.miss import missed_row
from sisy.models import Queue, Run, RunState
from sisy.reports import last_started as report
from tests.commands.calling import said, told
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def ran(task, at, state=RunState.SUCCEEDED):
    return task.new_run(
        now=at, due_at=at, state=state, started_at=at + MINUTE, finished_at=at + 2 * MINUTE
    ).save()


def test_the_last_run_of_a_task_is_the_last_that_started():
    pictures, labels = scheduled(label="pictures"), scheduled(label="labels")
    scheduled(label="new")
    ran(pictures, NOON - 9 * HOUR, RunState.FAILED)
    missed_row(pictures, NOON - 8 * HOUR, NOON - 8 * HOUR, 1, "Nothing was up.", NOON).save()
    ran(labels, NOON - 8 * HOUR)
    labels.run_now()
    rows = {row["label"]: row for row in told("sisy_tasks list")}
    assert rows["pictures"]["last_run"] == "2026-05-05T03:01:00+00:00"
    assert rows["pictures"]["last_result"] == "failed"
    assert rows["labels"]["last_run"] == "2026-05-05T04:01:00+00:00"
    assert rows["labels"]["last_result"] == "succeeded"
    assert (rows["new"]["last_run"], rows["new"]["last_result"]) == (None, "")
    assert "last result" in said("sisy_tasks list")


def test_what_was_missed_since_the_last_result_is_shown_beside_it():
    pictures, labels = scheduled(label="pictures"), scheduled(label="labels")
    ran(pictures, NOON - 9 * HOUR)
    missed_row(pictures, NOON - 8 * HOUR, NOON - 8 * HOUR, 1, "Nothing was up.", NOON).save()
    missed_row(labels, NOON - 8 * HOUR, NOON - 8 * HOUR, 1, "Nothing was up.", NOON).save()
    ran(labels, NOON - 7 * HOUR)
    missed_row(scheduled(label="new"), NOON - HOUR, NOON, 2, "Nothing was up.", NOON).save()
    rows = {row["label"]: row for row in told("sisy_tasks list")}
    assert rows["pictures"]["last_result"] == "succeeded"
    assert rows["pictures"]["missed_since"] == "2026-05-05T04:00:00+00:00"
    assert rows["labels"]["missed_since"] is None
    lines = {line.split()[1]: line for line in said("sisy_tasks list").splitlines() if line}
    assert "succeeded, then missed" in lines["pictures"]
    assert "then missed" not in lines["labels"]
    assert "missed" in lines["new"]


def test_the_last_run_is_found_behind_many_that_were_skipped(monkeypatch):
    monkeypatch.setattr(report, "STEPS", (1, 9))
    task = scheduled(label="labels")
    ran(task, NOON - HOUR)
    for n in range(4):
        task.new_run(now=NOON, due_at=NOON - n * MINUTE, state=RunState.SKIPPED).save()
    assert Run.objects.count() == 5
    [row] = told("sisy_tasks list")
    assert row["last_result"] == "succeeded"


def listed(options):
    return [row["label"] for row in told(f"sisy_tasks list {options}")]


def test_the_last_run_is_found_behind_a_longer_backlog(monkeypatch):
    monkeypatch.setattr(report, "STEPS", (2, 3))
    labels = scheduled(label="labels")
    ran(labels, NOON - 9 * HOUR)
    missed_row(labels, NOON - 8 * HOUR, NOON - 8 * HOUR, 1, "Nothing was up.", NOON).save()
    for _ in range(5):
        labels.run_now()
    [row] = told("sisy_tasks list")
    assert row["last_run"] == "2026-05-05T03:01:00+00:00"
    assert row["last_result"] == "succeeded"


def test_a_list_of_tasks_is_filtered_by_queue_text_and_problems():
    scheduled(label="invoices: north", queue="mail")
    broken = scheduled(label="invoices: south")
    scheduled(label="labels", queue="print").pause()
    assert listed("--queue mail") == ["invoices: north"]
    assert sorted(listed("--text INVOICES")) == ["invoices: north", "invoices: south"]
    assert listed("--text invoices --queue mail") == ["invoices: north"]
    assert listed("--text labels --state paused") == ["labels"]
    assert len(listed("--text tests.")) == 3
    type(broken).objects.filter(pk=broken.pk).update(state="broken")
    assert listed("--state attention") == ["invoices: south"]


def test_a_list_without_tasks_says_why():
    assert "sisy_sync" in said("sisy_tasks list")
    scheduled(queue="mail")
    with pytest.raises(CommandError, match=r"uses a queue named 'mial'\. Did you mean 'mail'\?"):
        said("sisy_tasks list --queue mial")
    assert said("sisy_tasks list --text nothing") == "No tasks match.\n"
    assert said("sisy_tasks list --state broken") == "No tasks are broken.\n"
    with pytest.raises(CommandError, match=r"--queue is empty\.") as raised:
        said("sisy_tasks list --queue ''")
    assert raised.value.returncode == 2


def test_a_number_that_is_also_a_task_is_not_retried_as_a_run():
    task = scheduled(label="tea")
    ran(task, NOON - HOUR)
    Run.objects.update(id=task.pk)
    with pytest.raises(CommandError) as raised:
        said(f"sisy_tasks retry {task.pk}")
    assert str(raised.value) == (
        f"{task.pk} is the key of the task tea. For the run with this key, use '#{task.pk}'. To "
        f"find a run of the task: manage.py sisy_tasks history {task.pk}"
    )
    assert raised.value.returncode == 2
    text = said(f"sisy_tasks retry '#{task.pk}'")
    assert f" of tea is queued as a retry of run {task.pk}." in text


def test_the_preview_of_a_backfill_says_what_it_takes(monkeypatch):
    scheduled("0 * * * *", label="tea", queue="mail")
    text = said("sisy_tasks backfill tea 3h now --again --dry-run")
    assert "This submits 3 runs of tea to the queue mail." in text
    assert "No worker serves the queue. Runs stay queued until one starts." in text
    Queue.objects.pause("mail")
    text = said("sisy_tasks backfill tea 3h now --again --dry-run")
    assert "The queue is paused. Runs stay queued until it is resumed." in text
    assert len(told("sisy_tasks backfill tea 3h now --again --dry-run")) == 3
