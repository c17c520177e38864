"""``sisy_tasks missed`` lists what tasks missed in an outage, and backfills it."""

import pytest
from django.core.management import CommandError

from sisy.alerting.advised_commands import missed_command
from sisy.models import Run
from tests.commands.calling import said, seen, told
from tests.support.moments import HOUR, NOON
from tests.support.outages import TASKS, missed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def outage():
    """Three tasks that missed occurrences from 09:00 to 11:00; "mail" is due again soon."""
    return [missed(*one)[0] for one in TASKS]


def refusal(line):
    with pytest.raises(CommandError) as raised:
        said(line)
    return raised.value


def submitted():
    return [run.label for run in Run.objects.filter(origin="backfill").order_by("pk")]


def test_the_newest_outage_is_listed_with_the_command_that_backfills_it(outage):
    rows = told("sisy_tasks missed")
    assert [(row["task"], row["runs"], row["backfill"]) for row in rows] == [
        ("backup", 1, True),
        ("report", 3, True),
        ("mail", 13, False),
    ]
    assert rows[0]["due_again"] == "2026-05-06T12:00:00+00:00"
    text = said("sisy_tasks missed")
    assert text.startswith("Missed from 2026-05-05 09:00:00 to 11:01:00 UTC:")
    command = "sisy_tasks missed 2026-05-05T09:00 2026-05-05T11:01 --backfill"
    assert f"To submit 4 runs: manage.py {command}" in text
    assert told(f"{command} --yes")["submitted"] == 4


def test_in_80_columns_each_task_is_a_line_with_its_next_run(outage, monkeypatch):
    _, head, _, *rows = seen("sisy_tasks missed", monkeypatch).splitlines()[:6]
    assert head.split() == [
        "id",
        "task",
        "first",
        "runs",
        "takes",
        "due",
        "again",
        "backfill",
    ] or ("due again" in head)
    assert max(map(len, [head, *rows])) <= 80


def test_a_backfill_asks_first_and_leaves_out_what_is_due_again_soon(outage):
    error = refusal("sisy_tasks missed --backfill")
    assert str(error) == (
        "This submits 4 runs: 'backup' (1), 'report' (3). Add --yes to confirm. Nothing was "
        "changed."
    )
    assert error.returncode == 2
    assert not submitted()
    assert said("sisy_tasks missed --backfill --yes").startswith("Submitted 4 runs. To see them:")
    assert submitted() == ["backup", "report", "report", "report"]
    error = refusal("sisy_tasks missed --backfill --yes")
    assert "All of these tasks are due again within an hour." in str(error)
    assert error.returncode == 1


def test_named_tasks_are_backfilled_even_if_they_are_due_again_soon(outage):
    assert [row["task"] for row in told("sisy_tasks missed --task mail")] == ["mail"]
    answer = told("sisy_tasks missed --task mail --task backup --backfill --yes")
    assert (answer["submitted"], answer["refused"]) == (14, 0)
    assert set(submitted()) == {"mail", "backup"}
    assert "no missed occurrences are left" in str(
        refusal("sisy_tasks missed --task mail --backfill --yes")
    )


def test_a_range_is_listed_and_has_no_tasks_if_they_missed_nothing_in_it(outage):
    assert [row["task"] for row in told("sisy_tasks missed 2h")] == ["backup", "report", "mail"]
    assert told("sisy_tasks missed 2h '1h ago'")[1]["runs"] == 1
    nothing = "No task with a schedule missed an occurrence in this range.\n"
    assert said("sisy_tasks missed 30m") == nothing
    assert told("sisy_tasks missed 30m") == []


def test_without_an_outage_nothing_is_listed_and_nothing_submitted():
    assert said("sisy_tasks missed") == "No task with a schedule missed an occurrence.\n"
    assert refusal("sisy_tasks missed --backfill --yes").returncode == 1


def test_the_second_of_two_equal_times_is_advised_with_its_offset(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    twice = NOON.replace(month=10, day=25, hour=1)  # the second 02:00 there
    assert missed_command(twice - HOUR, twice) == (
        "sisy_tasks missed 2026-10-25T02:00 2026-10-25T02:01+01:00"
    )
