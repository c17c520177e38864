"""The pages of a run and of its task say why it is queued."""

from datetime import timedelta

import pytest

from sisy.models import Queue, Run, Task
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.app import jobs
from tests.support.moments import HOUR, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("now")]


def pages(run):
    client = browser_of("view_task")
    yield text_of(client.get(f"/sisy/runs/{run.pk}/?parts=head"))
    if run.task_id:
        yield text_of(client.get(f"/sisy/tasks/{run.task_id}/?parts=head"))


def test_the_page_of_a_run_and_of_its_task_say_why_queued():
    run = scheduled("0 0 1 1 *", queue="cpu").run_now()
    for text in pages(run):
        assert (
            f"Run {run.pk} has been queued since 2026-05-05 12:00:00 UTC: "
            "the queue 'cpu' has no worker."
        ) in text
    Queue.objects.pause("cpu", "too hot", by="Sam")
    for text in pages(run):
        assert "was paused by Sam at 2026-05-05 12:00:00 UTC (too hot)." in text


def test_a_delayed_run_is_not_queued_since_a_moment_to_come():
    Task.run_once(jobs.noop, delay_until=NOON + timedelta(hours=1))
    for text in pages(run := Run.objects.get()):
        assert f"Run {run.pk} is delayed until 2026-05-05 13:00:00 UTC." in text


def test_moments_are_in_the_zone_of_the_page(settings):
    run = scheduled("0 0 1 1 *", queue="cpu").run_now()
    settings.TIME_ZONE = "Europe/Berlin"
    for text in pages(run):
        assert "2026-05-05 14:00:00 CEST" in text


def test_a_run_that_is_over_waits_for_nothing():
    run = scheduled("0 0 1 1 *").run_now()
    Run.objects.update(state="succeeded", started_at=NOON, finished_at=NOON + HOUR)
    for text in pages(run):
        assert "queued since" not in text
