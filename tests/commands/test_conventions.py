"""What people and programs may expect of every command that answers."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from sisy.heartbeat import tick
from sisy.management.output import AnsweringCommand
from sisy.models import Process, Role, Run, RunState
from sisy.worker.claim import claim
from tests.commands.calling import said, told
from tests.roles.steps import finish
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = pytest.mark.django_db

ANSWERING = sorted(
    name
    for name, app in get_commands().items()
    if app == "sisy" and isinstance(load_command_class("sisy", name), AnsweringCommand)
)
LINES = [
    "sisy_alerts messages",
    "sisy_health",
    "sisy_prune --days 1 --dry-run",
    "sisy_queues list",
    "sisy_runs list",
    "sisy_runs show {run}",
    "sisy_simulate 2026-05-05 2026-05-06",
    "sisy_status",
    "sisy_sync --dry-run",
    "sisy_tasks list",
    "sisy_tasks show tea",
    "sisy_tasks next tea",
    "sisy_tasks history tea",
    "sisy_tasks backfill tea 2026-05-04 2026-05-05 --dry-run",
    "sisy_tasks why tea 2026-05-05T12:00",
    "sisy_top --once",
    "sisy_workers list",
]


@pytest.fixture
def tea(at_time):
    """A site with a task, whose run has failed, and which has a heartbeat and a worker."""
    noon = at_time(NOON)
    task = scheduled(label="tea")
    noon.moment = NOON + MINUTE
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    finish(
        run, NOON + MINUTE, RunState.FAILED, reason="KeyError: 'x'", error="Traceback: no water"
    )
    lease = timedelta(days=1)
    Process.join(Role.HEARTBEAT, using="default", now=NOON + MINUTE, lease=lease)
    return task


def answered(line):
    """Return what a command answers to a program, whether or not it exits with 1."""
    name, *args = line.replace("{run}", str(Run.objects.get().pk)).split()
    out = StringIO()
    with suppress(CommandError):
        call_command(name, *args, "--json", stdout=out)
    return json.loads(out.getvalue())


def values(answer):
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list):
        return [value for each in answer for value in values(each)]
    return [answer]


def test_every_command_that_answers_is_tried_here():
    assert {line.split()[0] for line in LINES} == set(ANSWERING)


@pytest.mark.parametrize("line", LINES)
def test_json_has_booleans_and_numbers_instead_of_words_for_them(tea, line):
    found = values(answered(line))
    assert found or line.startswith(("sisy_sync", "sisy_alerts"))  # nothing is declared here
    assert not [value for value in found if value in ("yes", "no", "True", "False", "None", "-")]
    assert not [value for value in found if isinstance(value, str) and value.endswith("+")]


VERBS = [
    "list", "show tea", "next tea", "history tea", "run tea", "pause tea", "cancel tea",
    "why tea 2026-05-05T12:00", "backfill tea 2026-05-04 2026-05-05 --dry-run",
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_djangos_options_may_follow_the_verb(tea, verb):
    if verb.startswith("cancel"):
        tea.run_now()
    line = f"sisy_tasks {verb} --settings tests.settings --traceback -v 0 --no-color --skip-checks"
    assert told(line) is not None


def test_an_option_before_the_verb_keeps_its_value(tea):
    command = load_command_class("sisy", "sisy_tasks")
    parser = command.create_parser("manage.py", "sisy_tasks")
    options = parser.parse_args(["--settings", "x", "--verbosity", "2", "list"])
    assert (options.settings, options.verbosity) == ("x", 2)
    options = parser.parse_args(["--settings", "x", "list", "--settings", "y", "-v", "0"])
    assert (options.settings, options.verbosity) == ("y", 0)
    assert parser.parse_args(["list"]).verbosity == 1


def test_cancelling_nothing_exits_with_one(tea):
    with pytest.raises(CommandError, match=r"^Nothing to cancel\.$") as raised:
        said("sisy_tasks cancel tea")
    assert raised.value.returncode == 1


def test_cancelling_counts_in_words_that_agree_with_the_number(tea):
    tea.run_now()
    assert said("sisy_tasks cancel tea") == "Cancelled 1 queued run.\n"
    tea.run_now()
    tea.run_now()
    with pytest.raises(CommandError, match=r"^This cancels 2 queued runs\. Task: 'tea'") as raised:
        said("sisy_tasks cancel tea")
    assert raised.value.returncode == 2
    assert said("sisy_tasks cancel tea --yes") == "Cancelled 2 queued runs.\n"


def test_a_running_run_is_asked_to_end_or_killed_with_force(tea):
    tea.run_now()
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    tea.run_now()
    tea.run_now()
    said_first = said("sisy_tasks cancel tea --yes")
    assert "Cancelled 2 queued runs. Requested cancellation of 1 running run." in said_first
    with pytest.raises(CommandError, match=r"^Nothing to cancel: 1 run was already asked to stop"):
        said("sisy_tasks cancel tea")
    told_by_force = told("sisy_tasks cancel tea --force")
    assert told_by_force == {"cancelled": 0, "asked": 1, "stopping": 1}
    run.refresh_from_db()
    assert run.cancel_force


def test_the_history_as_json_answers_the_questions_on_call(tea):
    [row] = told("sisy_tasks history tea")
    run = Run.objects.get()
    assert row["error"] == "Traceback: no water"
    assert row["worker"] == run.worker_name
    assert row["origin"] == "schedule"
    assert row["started"].startswith("2026-05-05T12:01:00")
    assert row["finished"].startswith("2026-05-05T12:01:00")


@pytest.mark.parametrize(
    "line",
    [
        "sisy_tasks next tea -n -1",
        "sisy_tasks history tea -n -1",
        "sisy_tasks history tea -n 1.5",
        "sisy_tasks next tea -n 99999999999999999999",
        "sisy_tasks history tea -n 99999999999999999999",
        "sisy_tasks show 99999999999999999999",
        "sisy_tasks retry 99999999999999999999",
        "sisy_tasks retry -7",
        "sisy_simulate 2026-05-05 2026-05-06 --show -1",
        "sisy_simulate 2026-05-05 2026-05-06 --show 99999999999999999999",
        "sisy_prune --days nan",
        "sisy_health --max-overdue nan",
        "sisy_health --max-overdue -1",
        "sisy_health --max-overdue 1e300",
    ],
)
def test_an_invalid_number_is_rejected_with_the_expected_range(tea, line):
    with pytest.raises(CommandError):
        said(line)


MANAGE = [sys.executable, str(Path(__file__).parents[1] / "manage.py")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The environment of commands on a migrated site of their own."""
    folder = str(tmp_path_factory.mktemp("site"))
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    site = {**kept, "SISY_TEST_FOLDER": folder, "SISY_TEST_DB": "head"}
    subprocess.run([*MANAGE, "migrate", "-v", "0"], env=site, check=True, timeout=120)
    return site


@pytest.mark.parametrize("line", ["sisy_tasks list", "sisy_status --json"])
def test_a_reader_that_goes_away_leaves_no_traceback(line, site):
    reader, writer = os.pipe()
    os.close(reader)  # before the first byte, so that writing fails for sure
    try:
        ended = subprocess.run(
            [*MANAGE, *line.split()],
            stdout=writer, stderr=subprocess.PIPE, env=site, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize("command", ["tasks", "alerts", "runs", "queues", "workers"])
def test_a_command_without_a_verb_lists(command, capsys):
    call_command(f"sisy_{command}", "list")
    listed = capsys.readouterr().out
    call_command(f"sisy_{command}")
    assert capsys.readouterr().out == listed != ""
