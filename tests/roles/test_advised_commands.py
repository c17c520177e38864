"""Alerts, pages and commands advise the same commands, and these work as they are."""

import re

import pytest

from sisy.alerting.advised_commands import cancel_command, words_if_it_hangs
from sisy.models import Alert, Run, Task
from sisy.reports.run_commands import commands_of
from tests.app import jobs
from tests.commands.calling import said, told
from tests.roles.watched import Site
from tests.support.moments import MINUTE

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(clocks, settings):
    settings.SISY_ENGINES = {}
    return Site(clocks)


def read(run):
    return Run.objects.get(pk=run.pk)


def advice_of(run):
    """Return the command that everything names for a run."""
    command = cancel_command(read(run))
    texts = [one.text for one in commands_of(read(run)) if one.words == "Cancel"]
    assert texts == [f"python manage.py {command}"] * bool(command)
    assert words_if_it_hangs(read(run)).count("manage.py") == bool(command)
    assert (f"manage.py {command}\n" in said(f"sisy_runs show {run.pk}")) is bool(command)
    return command


def test_force_is_the_advice_after_a_request_was_ignored(site):
    run = site.start(site.idle_task())
    assert advice_of(run) == f"sisy_runs cancel {run.pk}"
    read(run).cancel()
    assert advice_of(run) == f"sisy_runs cancel {run.pk} --force"
    read(run).cancel(by_force=True)
    assert advice_of(run) == ""
    assert "restart its worker" in words_if_it_hangs(read(run))


def test_a_queued_run_needs_no_force(site):
    run = site.idle_task().run_now()
    assert cancel_command(read(run)) == f"sisy_runs cancel {run.pk}"


@pytest.mark.parametrize(("is_asked", "advice"), [(False, "add --force"), (True, "--force'.")])
def test_the_alert_about_a_slow_run_follows_what_was_requested(site, is_asked, advice):
    run = site.start(site.idle_task(expected_duration=MINUTE))
    if is_asked:
        read(run).cancel()
    site.later(100)
    assert advice in Alert.objects.get(kind="slow").fix


def test_the_advised_backfill_runs_exactly_what_was_missed(site, settings):
    settings.TIME_ZONE = "America/New_York"
    task = Task.run_iterations(jobs.noop, schedule="* * * * *", iterations=99, missed="skip")
    site.later(70)
    site.asleep(10 * MINUTE)
    site.later(60)
    row = Run.objects.filter(state="missed").get()
    command = re.search("manage.py (.*)'", Alert.objects.get(kind="missed").fix)[1]
    assert f"manage.py {command} --dry-run\n" in said(f"sisy_runs show {row.pk}")
    assert len(told(f"{command} --dry-run")) == row.count > 5
    said(f"{command} --yes")
    runs = Run.objects.filter(task=task, origin="backfill").order_by("occurrence_at")
    assert runs.count() == row.count
    assert (runs[0].occurrence_at, runs.last().occurrence_at) == (row.due_at, row.due_until)
