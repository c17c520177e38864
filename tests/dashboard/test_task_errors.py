"""The errors of a task, grouped by kind, and which of them are new."""

import pytest

from sisy.models import Process, Role, RunState, Task, TaskChange
from sisy.reports import task_errors, task_events
from sisy.reports.task_errors import errors_of
from tests.admin.pages import text_of
from tests.admin.people import browser_of_superuser
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def task():
    task = scheduled(label="import")
    ended(task, RunState.SUCCEEDED, 48 * HOUR)
    return task


def ended(task, state, ago, error="", **columns):
    moment = NOON - ago
    times = {"started_at": moment, "finished_at": moment + SECOND, "due_at": None}
    run = task.new_run(now=moment, ready_at=moment, state=state, attempt=1, **times, **columns)
    run.error = error
    run.error_class = error.partition(":")[0]
    run.save()
    return run


def failed(task, ago, error, function="load"):
    trace = f'Traceback\n  File "/a.py", line 3, in run\n  File "/b.py", line 5, in {function}\n'
    run = ended(task, RunState.FAILED, ago, trace + error)
    type(run).objects.filter(pk=run.pk).update(error_class=error.partition(":")[0])
    return run


def worker(ago, queue="default", lease=6 * HOUR):
    started = NOON - ago
    Process.join(Role.WORKER, using="default", now=started, lease=lease, queues=(queue,))


def changed(task, ago, fields=None):
    TaskChange.objects.create(
        task_id=task.pk,
        changed_at=NOON - ago,
        kind="person",
        fields=fields or {"queue": ["a", "b"]},
    )


def groups(task):
    return errors_of("default", task, NOON).groups


def page_of(task):
    return text_of(browser_of_superuser().get(f"/sisy/tasks/{task.pk}/", {"parts": "errors"}))


def test_messages_that_differ_in_numbers_are_one_kind(task):
    failed(task, 5 * HOUR, "ValueError: order 17 of 0x7f3a has no address")
    failed(task, 4 * HOUR, "ValueError: order 4711 of 0xbeef has no address")
    failed(task, 3 * HOUR, "ValueError: order 18 has no items")
    failed(task, 2 * HOUR, "KeyError: order 18 has no items")
    assert [(group.count, group.words) for group in groups(task)] == [
        (2, "ValueError: order 4711 of 0xbeef has no address"),
        (1, "KeyError: order 18 has no items"),
        (1, "ValueError: order 18 has no items"),
    ]
    assert "has no address the numbers vary in load 2 07:00:01 08:00:01" in page_of(task)


def test_the_page_says_how_many_failed_runs_it_has_read(task, monkeypatch):
    for number in range(3):
        failed(task, (number + 1) * HOUR, "OSError: full")
    assert "Errors in 3 failed runs" in page_of(task)
    monkeypatch.setattr(task_errors, "MAX_RUNS_READ", 2)
    assert "Errors in the latest 2 failed runs" in page_of(task)


def test_an_error_is_new_since_the_settings_were_changed(task):
    failed(task, 20 * HOUR, "OSError: full")
    changed(task, 10 * HOUR)
    failed(task, 9 * HOUR, "OSError: full")
    failed(task, 9 * HOUR, "KeyError: 'anvil'")
    new = "First seen after the settings were changed on 2026-05-05 02:00:00 (queue)"
    assert {group.words: group.new_since for group in groups(task)} == {
        "OSError: full": "",
        "KeyError: 'anvil'": new,
    }
    assert f"★ {new}" in page_of(task)


def test_a_deploy_that_changed_the_declaration_is_named(task):
    changed(task, 10 * HOUR)
    TaskChange.objects.update(kind="declaration")
    failed(task, 9 * HOUR, "KeyError: 'anvil'", function="<genexpr>")
    [group] = groups(task)
    assert (
        group.new_since
        == "First seen after a deploy on 2026-05-05 02:00:00 that also changed settings (queue)"
    )
    assert group.function == "run"


def test_an_edit_by_a_person_does_not_hide_the_deploy_before_an_error(task):
    changed(task, 10 * HOUR)
    TaskChange.objects.update(kind="declaration")
    failed(task, 9 * HOUR, "KeyError: 'anvil'")
    changed(task, 3 * HOUR)
    changed(task, 2 * HOUR)
    [group] = groups(task)
    assert (
        group.new_since
        == "First seen after a deploy on 2026-05-05 02:00:00 that also changed settings (queue)"
    )
    failed(task, HOUR, "OSError: full")
    since = {group.words: group.new_since for group in groups(task)}
    assert (
        since["OSError: full"]
        == "First seen after the settings were changed on 2026-05-05 10:00:00 (queue)"
    )


def test_a_new_error_comes_first(task):
    for number in range(3):
        failed(task, (30 + number) * HOUR, "OSError: full")
    changed(task, 10 * HOUR)
    failed(task, 9 * HOUR, "KeyError: 'anvil'")
    assert [group.count for group in groups(task)] == [1, 3]


def test_an_error_is_new_since_the_first_start_of_the_workers(task):
    worker(5 * HOUR)
    worker(3 * HOUR)
    failed(task, 4 * HOUR, "KeyError: 'anvil'")
    [group] = groups(task)
    assert group.new_since == "First seen after the workers started on 2026-05-05 07:00:00"


def test_an_error_is_new_since_the_first_start_of_a_version(task, settings):
    settings.SISY_VERSION = "1.3"
    worker(30 * HOUR, lease=20 * HOUR)
    settings.SISY_VERSION = "1.4"
    worker(9 * HOUR, lease=HOUR)  # it has ended since then
    worker(2 * HOUR, lease=3 * HOUR)
    failed(task, 20 * HOUR, "OSError: full")
    failed(task, 8 * HOUR, "OSError: full")
    failed(task, 8 * HOUR, "KeyError: 'anvil'")
    assert {group.words: group.new_since for group in groups(task)} == {
        "KeyError: 'anvil'": "First seen after version 1.4 started on 2026-05-05 03:00:00",
        "OSError: full": "",
    }


def test_workers_of_other_queues_and_dead_ones_do_not_count(task):
    worker(5 * HOUR, queue="mail")
    worker(6 * HOUR, lease=MINUTE)
    failed(task, 4 * HOUR, "KeyError: 'anvil'")
    assert [group.new_since for group in groups(task)] == [""]


def test_the_workers_of_another_engine_are_unknown(task):
    worker(5 * HOUR)
    failed(task, 4 * HOUR, "KeyError: 'anvil'")
    Task.objects.update(engine="celery")
    assert [group.new_since for group in groups(Task.objects.get())] == [""]


def test_the_later_of_two_events_is_named(task):
    worker(5 * HOUR)
    changed(task, 7 * HOUR)
    failed(task, 6 * HOUR, "KeyError: 'anvil'")
    failed(task, 4 * HOUR, "OSError: full")
    assert {group.words: group.new_since[:28] for group in groups(task)} == {
        "KeyError: 'anvil'": "First seen after the settings"[:28],
        "OSError: full": "First seen after the workers",
    }


def test_a_pause_is_not_a_reason_for_a_new_error(task):
    changed(task, 10 * HOUR, {"state": ["active", "paused"]})
    failed(task, 9 * HOUR, "KeyError: 'anvil'")
    assert [group.new_since for group in groups(task)] == [""]


def test_nothing_is_new_if_the_ledger_does_not_reach_back(task, monkeypatch):
    changed(task, 60 * HOUR)
    failed(task, 9 * HOUR, "KeyError: 'anvil'")
    assert [group.new_since for group in groups(task)] == [""]
    TaskChange.objects.update(changed_at=NOON - 20 * HOUR)
    assert groups(task)[0].new_since
    failed(task, 8 * HOUR, "KeyError: 'anvil'")
    monkeypatch.setattr(task_errors, "MAX_RUNS_READ", 2)  # older failures may have been the same
    assert [group.new_since for group in groups(task)] == [""]


def test_workers_that_are_older_than_many_other_processes_are_known(task, monkeypatch):
    monkeypatch.setattr(task_events, "MAX_PROCESSES_READ", 1)
    worker(2 * HOUR, lease=3 * HOUR)
    Process.objects.update(version="v2")
    Process.join(Role.ENGINE, using="default", now=NOON, lease=HOUR)
    failed(task, HOUR, "KeyError: 1")
    [group] = errors_of("default", task, NOON).groups
    assert group.new_since == "First seen after version v2 started on 2026-05-05 10:00:00"
