"""Runs that end badly, as Sentry receives them, and check-ins for its monitors."""

import asyncio
import logging
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import sentry_sdk
from django.core import checks
from sentry_sdk.transport import Transport

from sisy.checks.stored import check_stored_tasks
from sisy.execution import ProcessPool, ThreadPool
from sisy.heartbeat import tick
from sisy.lifecycle.reject import reject_unknown_engines
from sisy.models import OnLost, Run, RunState, Task, task_with_callable
from sisy.runtime.log import Outage
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.at_work import at_work
from tests.roles.steps import LEASE
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.sentry import DSN, sentry_active
from tests.support.waiting import wait_until
from tests.unit.functions import checks as checks_in_a_loop

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sentry():
    with sentry_active() as transport:
        yield transport


def fails_with(message):
    raise KeyError(message["task"].userdata.get("number"))


async def afails(message):
    await asyncio.sleep(0)
    raise KeyError("async")


class NotingTransport(Transport):
    """Notes in a file that the SDK was flushed."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def capture_envelope(self, envelope):
        pass

    def flush(self, timeout, callback=None):
        Path(self.path).write_text("flushed")


def uses_sentry_in_the_child(message):
    transport = NotingTransport(message["task"].userdata["path"])
    sentry_sdk.init(dsn=DSN, transport=transport, default_integrations=False)


def sleeps(message):
    time.sleep(60)


async def waits_forever(message):
    await asyncio.sleep(1000)


def reports(message):
    sentry_sdk.set_tag("customer", "7")
    logging.getLogger("shop").warning("half way")
    sentry_sdk.capture_message("look at this")
    raise KeyError(1)


def asks_again(message):
    sentry_sdk.capture_message("and at this")


def carried_out(fn, pool=ThreadPool, runs=1, **fields):
    """Return a run after a worker with such a pool has carried it out."""
    task = task_with_callable(fn, **{"label": "report", "schedule": "@yearly", **fields})
    task.save()
    made = [task.run_now() for _ in range(runs)]
    with at_work(pool=pool, concurrency=1):
        wait_until(lambda: not Run.objects.live().exists())
    return Run.objects.get(pk=made[-1].pk)


class Leaving(BaseException):
    """An error that ends whoever asks for its words."""

    @property
    def message(self):
        raise SystemExit


def frames_of(event):
    return event["exception"]["values"][-1]["stacktrace"]["frames"]


def test_a_failure_is_one_event_with_its_stack_task_run_and_occurrence(sentry):
    run = carried_out(fails_with, userdata={"number": 7})
    [event] = sentry.events
    assert event["level"] == "error"
    assert event["transaction"] == "tests.roles.test_sentry.fails_with"
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("KeyError", "7")
    assert error["mechanism"] == {"type": "sisy", "handled": False}
    assert frames_of(event)[-1]["function"] == "fails_with"
    assert event["tags"] == {
        "sisy.run": str(run.pk),
        "sisy.task": str(run.task_id),
        "sisy.label": "report",
        "sisy.queue": "default",
        "sisy.origin": "manual",
    }
    facts = event["contexts"]["run"]
    assert facts["run"] == run.pk
    assert facts["task"] == run.task_id
    assert facts["state"] == "failed"
    assert facts["attempt"] == 1


def test_the_occurrence_of_a_scheduled_run_is_named(sentry, at_time):
    at_time(NOON)
    scheduled(fn=fails_with, missed="all")
    tick("default", NOON + MINUTE)
    at_time(NOON + MINUTE)
    with at_work():
        wait_until(lambda: sentry.events)
    assert sentry.events[0]["contexts"]["run"]["occurrence"] == "2026-05-05T12:01:00+00:00"


def test_events_are_grouped_by_function_and_kind_of_error_only(sentry):
    for number in range(3):
        carried_out(fails_with, label=f"import {number}", userdata={"number": number})
    carried_out(jobs.fails)
    *same, other = [event["fingerprint"] for event in sentry.events]
    assert same == [["sisy", "tests.roles.test_sentry.fails_with", "builtins.KeyError"]] * 3
    assert other == ["sisy", "tests.app.jobs.fails", "builtins.RuntimeError"]


def test_an_async_function_has_its_stack(sentry):
    carried_out(afails)
    [event] = sentry.events
    assert frames_of(event)[-1]["function"] == "afails"
    assert event["fingerprint"][1:] == ["tests.roles.test_sentry.afails", "builtins.KeyError"]


def test_a_child_process_has_its_stack_and_is_grouped_like_a_thread(sentry):
    carried_out(jobs.fails)
    carried_out(jobs.fails, pool=ProcessPool)
    in_thread, in_child = sentry.events
    (error,) = in_child["exception"]["values"]
    assert (error["type"], error["module"]) == ("RuntimeError", "builtins")
    assert error["value"] == "it was to be expected"
    last = frames_of(in_child)[-1]
    assert last["function"] == "fails"
    assert last["abs_path"].endswith("tests/app/jobs.py")
    assert "it was to be expected" in last["context_line"]
    assert "Traceback" in in_child["extra"]["traceback"]
    assert in_child["fingerprint"] == in_thread["fingerprint"]


@pytest.mark.parametrize(
    ("fn", "pool", "has_stack"),
    [
        (checks_in_a_loop, ThreadPool, True),
        (checks_in_a_loop, ProcessPool, True),
        (waits_forever, ThreadPool, True),
        (sleeps, ProcessPool, False),  # it was killed
    ],
)
def test_an_expired_timeout_shows_where_the_function_was(sentry, fn, pool, has_stack):
    carried_out(fn, pool=pool, timeout=SECOND / 5)
    [event] = sentry.events
    assert event["fingerprint"] == [
        "sisy",
        f"{fn.__module__}.{fn.__name__}",
        "sisy.exceptions.RunTimedOut",
    ]
    functions = {
        frame["function"]
        for error in event["exception"]["values"]
        for frame in error.get("stacktrace", {"frames": []})["frames"]
    }
    assert (fn.__name__ in functions) == has_stack


def test_a_child_process_sends_the_rest_before_it_exits(tmp_path):
    noted = tmp_path / "noted"
    carried_out(uses_sentry_in_the_child, pool=ProcessPool, userdata={"path": str(noted)})
    wait_until(noted.exists)


def test_a_lost_run_is_reported_unless_it_runs_again(sentry, at_time):
    at_time(NOON)
    scheduled(label="once", on_lost=OnLost.FAIL)
    scheduled(label="again")
    tick("default", NOON + MINUTE)
    claim(worker(NOON + MINUTE, LEASE), ["default"], 10, NOON + MINUTE)
    tick("default", NOON + MINUTE + LEASE + SECOND)
    [event] = sentry.events
    assert event["contexts"]["run"]["label"] == "once"
    assert event["fingerprint"][2] == "sisy.exceptions.RunLost"


def test_a_rejected_run_is_reported(sentry):
    run = scheduled(label="elsewhere").run_now()
    Run.objects.filter(pk=run.pk).update(engine="gone")
    reject_unknown_engines(Run.objects.filter(pk=run.pk), NOON)
    [event] = sentry.events
    assert event["message"] == "failed: SISY_ENGINES has no engine 'gone'."
    assert event["fingerprint"] == ["sisy", "tests.app.jobs.noop", "failed"]


def test_only_the_last_failure_of_a_retried_run_is_reported(sentry):
    carried_out(fails_with, max_attempts=3, retry_delay=SECOND * 0)
    [event] = sentry.events
    assert event["contexts"]["run"]["attempt"] == 3


def test_what_a_function_reports_has_its_run_and_reaches_no_other_run(sentry):
    carried_out(reports, label="first")
    carried_out(asks_again, label="second")
    message, error, later = sentry.events
    assert message["message"] == "look at this"
    assert message["tags"]["sisy.label"] == "first"
    assert error["tags"]["customer"] == "7"
    assert "half way" in str(error["breadcrumbs"])
    assert later["tags"]["sisy.label"] == "second"
    assert "customer" not in later["tags"]
    assert "half way" not in str(later.get("breadcrumbs"))


def test_nothing_happens_without_a_dsn(at_time):
    with sentry_active(dsn=None) as transport:
        carried_out(fails_with)
        # The SDK itself may still report the log line, if an earlier test has activated that.
        ours = [
            item
            for item in transport.items
            if item.get("type") == "check_in" or "sisy" in item.get("fingerprint", ())
        ]
        assert ours == []


def test_nothing_happens_and_nothing_is_imported_without_the_sdk(sentry, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "sentry_sdk"]:
        monkeypatch.delitem(sys.modules, name)
    assert carried_out(fails_with).state == RunState.FAILED
    assert "sentry_sdk" not in sys.modules


def test_an_error_that_raises_anything_costs_no_other_report(sentry):
    from sisy.alerting.sentry import on_ended

    odd, plain = Run(pk=1, label="odd"), Run(pk=2, label="plain")
    for run in (odd, plain):
        run.state, run.target_path = RunState.FAILED, "shop.jobs.work"
    on_ended([{"run": odd, "exception": Leaving()}, {"run": plain, "exception": KeyError(7)}])
    assert [event["tags"]["sisy.label"] for event in sentry.events] == ["odd", "plain"]


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3)])
def test_an_error_of_the_sdk_affects_no_run_and_is_logged_once(sentry, caplog, error, monkeypatch):
    monkeypatch.setattr("sisy.alerting.sentry._outage", Outage("Reporting to Sentry"))
    sentry.error = error
    assert carried_out(jobs.fails, runs=2).state == RunState.FAILED
    assert carried_out(jobs.noop).state == RunState.SUCCEEDED
    said = [one.getMessage() for one in caplog.records if "Sentry" in one.getMessage()]
    why = f"{type(error).__name__}: {error}"
    assert said == [f"Reporting to Sentry failed ({why}); runs are not affected"]


def occurrence(at_time, fn=jobs.noop, **fields):
    """Return a run of a schedule after a worker has carried it out."""
    at_time(NOON)
    task = scheduled(**{"fn": fn, "schedule": "0 * * * *", "timezone": "Asia/Tokyo", **fields})
    at_time(NOON + HOUR)
    tick("default", NOON + HOUR)
    at_time(NOON + HOUR + MINUTE)
    with at_work():
        wait_until(lambda: not Run.objects.live().exists())
    return Run.objects.filter(task_id=task.pk).latest("pk")


def test_a_scheduled_run_checks_in_with_the_schedule_of_its_task(sentry, at_time):
    run = occurrence(
        at_time,
        label="report",
        start_within=90 * SECOND,
        expected_duration=10 * MINUTE,
        spread=timedelta(0),
    )
    begin, end = sentry.check_ins
    assert (begin["status"], end["status"]) == ("in_progress", "ok")
    assert begin["check_in_id"] == end["check_in_id"]
    assert begin["monitor_slug"] == end["monitor_slug"] == f"jobs-noop-{run.task_id}"
    assert end["duration"] >= 0
    for each in (begin, end):
        assert each["monitor_config"] == {
            "schedule": {"type": "crontab", "value": "0 * * * *"},
            "timezone": "Asia/Tokyo",
            "checkin_margin": 2,
            "max_runtime": 10,
        }


def test_a_failed_occurrence_checks_in_as_an_error_and_is_linked_to_its_monitor(sentry, at_time):
    run = occurrence(at_time, fails_with, spread=30 * SECOND, timeout=5 * MINUTE)
    assert [one["status"] for one in sentry.check_ins] == ["in_progress", "error"]
    config = sentry.check_ins[0]["monitor_config"]
    assert (config["checkin_margin"], config["max_runtime"]) == (2, 5)
    slug = f"test_sentry-fails_with-{run.task_id}"
    assert sentry.events[0]["contexts"]["monitor"] == {"slug": slug}


def test_a_task_without_expectations_is_never_too_slow_for_sentry(sentry, at_time):
    occurrence(at_time)
    assert sentry.check_ins[0]["monitor_config"]["max_runtime"] == 40_320


def test_retries_are_one_check_in(sentry, at_time):
    occurrence(at_time, fails_with, max_attempts=2, retry_delay=SECOND * 0)
    assert {one["check_in_id"] for one in sentry.check_ins} == {sentry.check_ins[0]["check_in_id"]}
    assert [one["status"] for one in sentry.check_ins][-1] == "error"


@pytest.mark.parametrize(
    "fields",
    [
        {"schedule": "0 * * * * 0,30"},
        {"schedule": "0 * l,5 * *"},
        {"iterations": 7},
        {"end_running": NOON + 9 * HOUR},
    ],
)
def test_what_sentry_cannot_represent_does_not_check_in(sentry, at_time, fields):
    occurrence(at_time, fails_with, **fields)
    assert sentry.check_ins == []
    assert sentry.events != []


def test_only_occurrences_check_in(sentry):
    carried_out(jobs.noop)
    Task.run_once(fails_with)
    with at_work():
        wait_until(lambda: sentry.events)
    assert sentry.check_ins == []


def test_monitors_can_be_turned_off(sentry, at_time, settings):
    settings.SISY_SENTRY_MONITORS = False
    occurrence(at_time)
    assert sentry.check_ins == []


def notes():
    found = check_stored_tasks(databases=["default"])
    return [one for one in found if one.id == "sisy.I002"]


def test_a_check_says_which_schedules_get_no_monitor(sentry, settings):
    scheduled("0 9 * * *", label="plain")
    scheduled("0 9 * * * 30", label="report")
    [note] = notes()
    assert note.level == checks.INFO
    assert note.msg == (
        "The schedule '0 9 * * * 30' (UTC) gets no Sentry monitor, because it has seconds. It "
        "is used by the task 'report'."
    )
    settings.SISY_SENTRY_MONITORS = False
    assert notes() == []


def test_the_check_says_nothing_without_sentry():
    scheduled("0 9 * * * 30", label="report")
    assert notes() == []
