"""A mistyped name, verb or value is answered with what was probably meant."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, load_command_class

from sisy.models import Process, Role, Run, RunState
from sisy.records.problems import Kind
from tests.commands.calling import said, told
from tests.support.moments import MINUTE, NOON
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def refusal(line):
    with pytest.raises(CommandError) as raised:
        said(line)
    return str(raised.value)


def failed(task, n=0):
    run = task.new_run(
        now=NOON,
        due_at=NOON - n * MINUTE,
        state=RunState.FAILED,
        started_at=NOON,
        finished_at=NOON,
    )
    run.save()
    return run


def test_a_mistyped_verb_is_answered_with_the_nearest_one(capsys):
    with pytest.raises(SystemExit) as raised:
        load_command_class("sisy", "sisy_tasks").run_from_argv(["manage.py", "sisy_tasks", "lst"])
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("'lst' is not a verb of sisy_tasks. Did you mean 'list'? Use one of ")
    assert "usage" not in error


def typed(line):
    """Call a command as manage.py does."""
    name, *words = line.split()
    load_command_class("sisy", name).run_from_argv(["manage.py", name, *words])


@pytest.mark.parametrize(
    "options",
    ["--state failed", "--settings tests.settings --state=failed", "-n 5 --state failed"],
)
def test_options_without_a_verb_are_those_of_the_list(options, capsys):
    failed(scheduled(label="tea"))
    failed(scheduled(label="shop"))
    Run.objects.filter(label="shop").update(state=RunState.SUCCEEDED)
    typed(f"sisy_runs {options}")
    listed = capsys.readouterr().out
    assert "tea" in listed
    assert "shop" not in listed


@pytest.mark.parametrize("line", ["sisy_runs retry --states failed", "sisy_runs --states failed"])
def test_an_unknown_option_is_answered_with_the_usage_of_its_verb(line, capsys):
    with pytest.raises(SystemExit) as raised:
        typed(line)
    assert raised.value.code == 2
    error = capsys.readouterr().err
    of = "sisy_runs retry" if "retry" in line else "sisy_runs list"
    assert f"usage: manage.py {of} [-h]" in error
    assert f"'--states' is not an option of '{of}'. Did you mean '--state'?" in error


def test_help_without_a_verb_is_that_of_the_command(capsys):
    with pytest.raises(SystemExit):
        typed("sisy_runs --help")
    assert "VERB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "near"),
    [
        ("sisy_runs list --state fail", "failed"),
        ("sisy_runs list --sort delays", "delay"),
        ("sisy_tasks list --state brokn", "broken"),
        ("sisy_alerts list --severity criticl", "critical"),
        ("sisy_alerts list --kind mised", "missed"),
        ("sisy_alerts list --kind 'to slow'", "slow"),
        ("sisy_runs list --state FAILDE", "failed"),
    ],
)
def test_a_mistyped_value_is_answered_with_the_nearest_one(line, near):
    assert f"is not valid. Did you mean {near!r}? Use one of " in refusal(line)


def test_values_are_accepted_in_any_case_and_as_lists_name_them():
    task = scheduled(label="tea")
    run = failed(task)
    for state in ("FAILED", "Failed", "failed"):
        assert [row["id"] for row in told(f"sisy_runs list --state {state}")["runs"]] == [run.pk]
    for state in ("'Timed out'", "Timed-Out", "timed_out"):
        assert told(f"sisy_runs list --state {state}")["runs"] == []
    alert = open_alert(task, Kind.SLOW, NOON)
    for kind in ("slow", "'too slow'", "'Too slow'"):
        assert [row["id"] for row in told(f"sisy_alerts list --kind {kind}")] == [alert.pk]
    assert told("sisy_alerts list --kind 'no worker' --kind 'queue delayed'") == []


@pytest.mark.parametrize("verb", ["show", "history", "why"])
@pytest.mark.parametrize("form", ["{}", "'#{}'", "'tea #{}'"])
def test_the_key_of_a_run_in_place_of_a_task_leads_to_the_run(verb, form):
    run = failed(scheduled(label="tea"))
    Run.objects.filter(pk=run.pk).update(id=28490)
    line = f"sisy_tasks {verb} {form.format(28490)}"
    if verb == "why":  # it explains runs, too
        assert "Run 28490 failed" in said(line)
        return
    words = refusal(line)
    assert "There is a run with this key. To show it: manage.py sisy_runs show 28490" in words


def test_a_list_of_runs_that_finds_nothing_says_which_name_is_unknown():
    scheduled(label="import products", queue="labels")
    scheduled(label="import prices")
    unknown = "No task, run or worker uses a queue named 'lables'. Did you mean 'labels'?"
    assert refusal("sisy_runs list --queue lables") == f"No runs match. {unknown}"
    assert refusal("sisy_runs list --queue lables --json") == f"No runs match. {unknown}"
    assert refusal("sisy_tasks list --queue lables") == unknown
    assert refusal("sisy_runs list --task import") == (
        "No runs match. No task has the key, name or label 'import'. These labels contain it: "
        "'import prices', 'import products'."
    )
    assert "No task calls 'nope'." in refusal("sisy_runs list --function nope")
    assert said("sisy_runs list --queue labels") == "No runs match.\n"


def test_an_unknown_name_exits_with_one_and_a_known_one_with_zero():
    with pytest.raises(CommandError) as raised:
        said("sisy_runs list --task nosuch")
    assert raised.value.returncode == 1
    lease = timedelta(hours=1)
    Process.join(Role.WORKER, using="default", now=NOON, lease=lease, queues=["gpu"])
    assert said("sisy_runs list --queue gpu") == "No runs match.\n"


def test_the_label_and_queue_of_a_deleted_task_are_known_by_its_runs():
    task = scheduled(label="tea", queue="mail")
    failed(task)
    task.delete()
    assert said("sisy_runs list --task tea --state lost") == "No runs match.\n"
    assert said("sisy_runs list --queue mail --state lost") == "No runs match.\n"


def test_a_probe_is_unhealthy_and_names_a_queue_that_nothing_uses():
    scheduled(queue="labels")
    words = refusal("sisy_health --queues lables")
    assert words.startswith("Unhealthy: heartbeat, ")
    assert words.endswith("uses a queue named 'lables'. Did you mean 'labels'?")


def test_a_part_of_a_label_is_answered_with_the_labels_that_contain_it():
    for name in ("north", "south", "east", "west"):
        scheduled(label=f"invoices of the region: {name}")
    words = refusal("sisy_tasks show invoices")
    assert "These labels contain it: 'invoices of the region: east', " in words
    assert words.endswith(" and 1 more.")


def test_a_key_without_runs_leads_to_no_list_of_its_runs():
    words = refusal("sisy_tasks show 9999")
    assert "No task has the key, name or label '9999'." in words
    assert "sisy_runs" not in words
    task = scheduled(label="tea")
    failed(task)
    key = task.pk
    task.delete()
    assert f"manage.py sisy_runs list --task {key}" in refusal(f"sisy_tasks show {key}")
    assert "failed" in said(f"sisy_runs list --task {key}")


def test_a_list_before_a_run_does_not_say_that_there_are_none():
    assert said("sisy_runs list --before 5") == "No runs match.\n"


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_an_unknown_run_among_others_changes_nothing(verb):
    run = failed(scheduled())
    words = refusal(f"sisy_runs {verb} {run.pk} 999999")
    assert "Run 999999 does not exist" in words
    assert words.endswith(" Nothing was changed.")
    assert Run.objects.count() == 1
    assert "Nothing was changed" not in refusal(f"sisy_runs {verb} 999999")


def test_a_run_that_cannot_be_cancelled_is_named_with_its_end():
    task = scheduled()
    runs = [failed(task, n) for n in range(7)]
    assert refusal(f"sisy_runs cancel {runs[0].pk}") == (
        f"No runs to cancel: run {runs[0].pk} failed at 2026-05-05 12:00:00 UTC."
    )
    keys = " ".join(str(run.pk) for run in runs)
    assert refusal(f"sisy_runs cancel {keys}").endswith(", 2 more runs have ended.")
    assert refusal("sisy_runs cancel --since 1h --yes") == "No runs to cancel."


def test_a_number_that_is_too_large_is_answered_without_an_exponent():
    assert "Use 0 to 31536000 seconds" in refusal("sisy_health --max-overdue 9e99")
