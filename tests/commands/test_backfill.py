"""``sisy_tasks backfill --dry-run`` says for each occurrence why it would run."""

import pytest
from django.core.management import CommandError

from sisy.lifecycle.miss import missed_row
from sisy.models import Origin, RunState
from sisy.records.problems import Kind
from tests.commands.calling import said, told
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

LINE = "sisy_tasks backfill tea 06:00 12:00 --dry-run"


def stored(task, hours, state, **columns):
    due = NOON - hours * HOUR
    run = task.new_run(now=NOON, due_at=due, state=state, **columns)
    run.save()
    return run


def outage():
    """Store a task that was due six times: it succeeded, failed, missed three, and has no run."""
    task = scheduled("0 * * * *", label="tea")
    task.pause()
    stored(task, 6, RunState.SUCCEEDED)
    failed = stored(task, 5, RunState.FAILED)
    gap = missed_row(task, NOON - 4 * HOUR, NOON - 2 * HOUR, 3, "Nothing was up.", NOON)
    gap.save()
    return task, failed, gap


def test_each_occurrence_says_why_it_would_run_and_names_its_run():
    _, failed, gap = outage()
    assert [(row["due"][11:13], row["why"], row["run"]) for row in told(LINE)] == [
        ("07", "failed", failed.pk),
        ("08", "missed", gap.pk),
        ("09", "missed", gap.pk),
        ("10", "missed", gap.pk),
        ("11", "no run recorded", None),
    ]
    assert "queue default. Missed: 3, failed: 1, no run recorded: 1. " in said(LINE)


def test_the_newest_run_of_an_occurrence_is_its_reason():
    task, _, _ = outage()
    at = NOON - 3 * HOUR
    again = task.new_run(
        now=NOON, occurrence_at=at, origin=Origin.BACKFILL, state=RunState.TIMED_OUT
    )
    again.save()
    row = told(LINE)[2]
    assert (row["why"], row["run"]) == (RunState.TIMED_OUT.label, again.pk)


def test_all_occurrences_say_which_succeeded_and_which_are_not_planned():
    task, _, _ = outage()
    assert told(f"{LINE} --again")[0]["why"] == "succeeded"
    task.resume()
    type(task).objects.update(next_run=NOON - HOUR, planned_until=None)
    assert told(f"{LINE} --again")[-1]["why"] == "not planned yet"


def test_a_backfill_of_too_many_occurrences_names_moments_in_words(noon):
    scheduled("* * * * * *", label="tea").pause()
    noon.moment = NOON + MINUTE
    with pytest.raises(CommandError) as raised:
        said("sisy_tasks backfill tea 2026-05-05T00:00 2026-05-05T10:00 --again --dry-run")
    assert "from 2026-05-05 00:00:00 UTC to 2026-05-05 10:00:00 UTC." in str(raised.value)


def test_several_runs_are_submitted_after_a_confirmation():
    task, _, _ = outage()
    open_alert(task, Kind.FAILING, NOON)
    line = LINE.removesuffix(" --dry-run")
    with pytest.raises(
        CommandError, match=r"^This submits 5 runs of tea to the queue default\."
    ) as e:
        said(line)
    assert "The latest runs of the task failed. Further runs will probably fail as well." in str(
        e.value
    )
    assert e.value.returncode == 2
    assert not task.runs.filter(origin=Origin.BACKFILL).exists()
    assert "Submitted 1 run of tea." in said(line.replace("06:00 12:00", "11:00 12:00"))
    assert "Submitted 4 runs of tea." in said(f"{line} -y")
