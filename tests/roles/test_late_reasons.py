"""Alerts about late runs and delayed queues say what the runs wait for, and if it is one cause."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.alerting import late
from sisy.alerting.problem import Watch
from sisy.alerting.text import text_of
from sisy.models import Alert, Overlap, Queue, Task, task_with_callable
from sisy.models.outbox import OutboxMessage
from sisy.records.problems import Kind
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.grouping import grouped
from sisy.worker.claim import claim
from tests.app import jobs
from tests.commands.calling import said
from tests.roles.watched import IDLE
from tests.support.moments import HOUR, MINUTE

pytestmark = pytest.mark.django_db

LATE = "A run has been queued for …, but should start within 5 min"
FULL = "all 4 worker slots for the queue 'default' are in use"


def invoices(number, **fields):
    """Return tasks that are due at the same moment."""
    Task.objects.bulk_create(
        task_with_callable(
            jobs.noop, label=f"invoices {n}", schedule=IDLE, start_within=5 * MINUTE, **fields
        )
        for n in range(number)
    )
    return list(Task.objects.filter(label__startswith="invoices "))


def pile_up(site, number, **fields):
    """Let many runs become ready together, of which the worker starts four."""
    tasks = invoices(number, **fields)
    for task in tasks:
        task.run_now()
    assert len(claim(site.worker, ["default"], 4, site.now)) == 4
    return tasks


def reasons(kind=Kind.LATE):
    """Return the texts and fixes of open alerts, without the time that depends on the round."""
    found = Alert.objects.open().filter(kind=kind).values_list("why", "fix")
    return {(re.sub(r"(been \w+ for )[^,.]*", r"\1…", why), fix) for why, fix in found}


def test_a_late_run_says_that_no_slot_is_free_and_who_else_is_queued(site):
    pile_up(site, 30)
    site.later(335)
    assert Alert.objects.open().filter(kind=Kind.LATE).count() == 26
    spread = (
        "Spread their schedules with 'h' or the field 'spread', in code or in the admin, or start "
        "more workers."
    )
    others = "25 other runs were queued at the same time"
    assert reasons() == {(f"{LATE}. {others}: {FULL}.", spread)}


def test_a_delayed_queue_says_that_no_slot_is_free_and_who_else_is_queued(site):
    pile_up(site, 30)
    site.later(335)
    [(why, fix)] = reasons(Kind.QUEUED)
    assert why == (
        "The oldest run in the queue 'default' has been queued for …. 25 other runs "
        f"were queued at the same time: {FULL}."
    )
    assert fix.startswith("Spread their schedules")


def test_a_single_run_without_a_slot_is_not_told_to_spread(site):
    pile_up(site, 5)
    site.later(335)
    start = "Start more workers, or see what keeps them busy: 'manage.py sisy_status'."
    assert reasons() == {(f"{LATE}: {FULL}.", start)}


def test_a_late_run_says_that_its_queue_is_paused(site):
    [task] = invoices(1)
    task.run_now()
    Queue.objects.pause("default", by="ann", reason="Deploy.")
    site.later(335)
    [(why, fix)] = reasons()
    assert why.startswith(f"{LATE}: the queue 'default' was paused by ann at ")
    assert why.endswith(" (Deploy).")
    assert fix == "Resume it with 'manage.py sisy_queues resume default'."


def test_a_late_run_says_that_its_queue_has_no_worker(site):
    [task] = invoices(1, queue="mail")
    task.run_now()
    site.later(335)
    why, fix = f"{LATE}: the queue 'mail' has no worker.", "--queues mail'."
    [(found, advice)] = reasons()
    assert found == why
    assert advice.endswith(fix)


def test_a_late_run_names_the_run_of_its_task_that_it_waits_for(site):
    [task] = invoices(1, overlap=Overlap.BUFFER_ONE)
    running = site.start(task)
    task.run_now()
    site.later(335)
    why = f"{LATE}: an earlier run of the same task is still running."
    command = f"'manage.py sisy_runs cancel {running.pk}'"
    fix = f"If it hangs, cancel it with {command}. If it is still running after that, add --force."
    assert reasons() == {(why, fix)}


def test_a_late_run_that_may_overlap_does_not_wait_for_its_task(site):
    [task] = invoices(1, overlap=Overlap.ALLOW)
    site.start(task)
    task.run_now()
    site.later(335)
    assert reasons() == {(f"{LATE}.", f"Find out why with 'manage.py sisy_tasks why {task.pk}'.")}


def test_what_keeps_late_runs_is_found_in_a_few_statements(site):
    def statements(number):
        pile_up(site, number)
        watch = Watch(using="default", now=site.now + HOUR, since=site.now)
        with CaptureQueriesContext(connection) as queries:
            assert len(list(late.judge_late(watch))) >= number - 4
        return len(queries)

    few = statements(10)
    # A second moment is counted, too.
    assert statements(150) == few + 1
    assert few <= 10


def test_moments_of_many_crowds_are_counted_in_a_few_statements(site):
    claimed = pile_up(site, 4)
    for task in invoices(40)[4:]:
        task.run_now()
        site.clocks.go_on(MINUTE / 30)
    watch = Watch(using="default", now=site.now + HOUR, since=site.now)
    assert len(claimed) == 4
    with CaptureQueriesContext(connection) as queries:
        list(late.judge_late(watch))
    assert len(queries) <= 20


def test_late_runs_and_their_full_queue_are_one_problem(site):
    pile_up(site, 30)
    site.later(335)
    [group] = grouped(find_alerts("default", site.now))
    assert group.lead.kind == Kind.QUEUED
    assert len(group.alerts) == 27
    assert group.affects.startswith("queue default, invoices ")
    assert group.affects.endswith(" and 24 more")


def test_late_runs_without_a_delayed_queue_are_one_problem(site, settings):
    settings.SISY_QUEUE_ALERT_SECONDS = 3600
    pile_up(site, 30)
    site.later(335)
    alerts = [alert for alert in find_alerts("default", site.now) if alert.kind == Kind.LATE]
    [group] = grouped(alerts)
    assert (group.what, group.why) == ("26 tasks", f"A{FULL[1:]}.")


def test_a_run_that_waits_for_its_own_task_is_another_problem_than_its_queue(site):
    pile_up(site, 10)
    [task] = [*Task.objects.filter(label="invoices 0")]
    task.run_now()
    site.later(335)
    groups = grouped(find_alerts("default", site.now))
    assert [(group.lead.kind, len(group.same)) for group in groups] == [
        (Kind.QUEUED, 1),
        (Kind.LATE, 1),
    ]


def test_a_message_about_many_late_runs_begins_with_their_one_cause(site):
    pile_up(site, 30)
    site.later(400)
    [*_, message] = OutboxMessage.objects.exclude(event="ping")
    plain = text_of(message).plain
    assert plain.startswith(f"26 alerts have the same cause (late): {FULL}.\n")


def test_the_status_shows_many_late_runs_as_one_problem(site):
    pile_up(site, 30)
    site.later(335)
    status = said("sisy_status")
    assert status.count(FULL) == 1
    assert "Affects queue default, invoices " in status


def test_the_morning_after_shows_how_long_runs_waited_and_why(site):
    pile_up(site, 30)
    site.later(335)
    for run in claim(site.worker, ["default"], 30, site.now):
        site.finish(run)
    site.later(90)
    assert site.open_kinds() == []
    site.asleep(8 * HOUR)
    [over] = [alert for alert in find_alerts("default", site.now) if alert.is_over]
    assert over.why.startswith("26 of the runs due at ")
    waited = "waited up to 5 min 35 s to start. Cause at that time: "
    assert over.why.endswith(f" {waited}{FULL}.")
    site.asleep(17 * HOUR)
    assert not any(alert.is_over for alert in find_alerts("default", site.now))
