"""How people find, retry and cancel many runs from a terminal."""

import io
import sys
from unittest.mock import Mock

import pytest
from django.core.management import CommandError

from sisy.management import run_verbs
from sisy.models import Run, RunState, Task
from sisy.reports import walk
from tests.commands.calling import Terminal, said, seen, told
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def run_of(label="tea", state=RunState.SUCCEEDED, at=NOON, **columns):
    task = Task.objects.filter(label=label).first() or scheduled(label=label, overlap="allow")
    run = task.new_run(now=at)
    columns |= {"state": state}
    if state not in ("queued", "running"):
        columns |= {"started_at": at, "finished_at": at}
    for name, value in columns.items():
        setattr(run, name, value)
    run.save()
    return run


def listed(options=""):
    return [run["id"] for run in told(f"sisy_runs list {options}")["runs"]]


@pytest.fixture
def asked(monkeypatch):
    """Return a function that sets what the person at the terminal answers."""

    def answers(word):
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr("builtins.input", lambda question: word)

    return answers


def test_runs_are_listed_in_80_columns_and_the_next_step_is_named(monkeypatch):
    run_of("a label that is far too long for a line of a terminal" * 3, at=NOON - DAY)
    run = run_of(state=RunState.FAILED, reason="KeyError: 'x' " * 30)
    lines = seen("sisy_runs list", monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["id", "state", "task", "due", "took", "reason"]
    assert lines[2].split()[:4] == [str(run.pk), "failed", "tea", "12:00:00"]
    assert "05-04 12:00" in lines[3]
    assert lines[-1] == f"To see the details of a run: manage.py sisy_runs show {run.pk}"


def test_filters_narrow_the_list():
    old = run_of(at=NOON - 2 * HOUR, queue="mail").pk
    failed = run_of(state=RunState.FAILED, at=NOON - MINUTE, reason="KeyError: 'x'").pk
    lost = run_of("lunch", RunState.LOST).pk
    assert listed("--since 1h") == [lost, failed]
    assert listed("--since 1h --until 12:00") == [failed]
    assert listed("--state failed --state lost") == [lost, failed]
    assert listed("--task tea") == [failed, old]
    assert listed(f"--task {Run.objects.get(pk=lost).task_id}") == [lost]
    assert listed("--queue mail") == [old]
    assert listed("--function noop --text keyerror") == [failed]
    assert listed("--origin retry") == []
    assert listed("-n 1") == [lost]
    assert listed(f"--before {lost}") == [failed, old]


def ended(late, took):
    began, run = NOON + late, run_of()
    times = {"ready_at": NOON, "started_at": began, "finished_at": began + took}
    Run.objects.filter(pk=run.pk).update(**times)
    return run.pk


def test_runs_are_sorted_by_delay_or_duration_like_on_the_dashboard():
    late = ended(3 * MINUTE, SECOND)
    long = ended(SECOND, 9 * MINUTE)
    queued = run_of(state=RunState.QUEUED).pk
    assert listed("--sort newest") == listed() == [queued, long, late]
    assert listed("--sort delay") == [late, long, queued]
    assert listed("--sort duration") == [long, late, queued]
    assert listed("--sort duration -n 1") == [long]


def test_a_list_sorted_by_delay_has_a_column_for_it(monkeypatch):
    ended(3 * MINUTE, SECOND)
    head, _, row, *_ = seen("sisy_runs list --sort delay", monkeypatch).splitlines()
    assert head.split() == ["id", "state", "task", "due", "delay", "took", "reason"]
    assert " 3 min  1 s " in row
    assert "delay" not in seen("sisy_runs list --sort duration", monkeypatch).splitlines()[0]


def test_a_sorted_list_says_among_how_many_runs_and_how_far_back(monkeypatch):
    keys = [ended(n * MINUTE, SECOND) for n in (3, 2, 1)]
    text = said("sisy_runs list --sort delay -n 1")
    assert "Sorted: the newest 3 matching runs. To see all of them, add: -n 3" in text
    assert "Searched" not in text
    assert f"manage.py sisy_runs show {keys[0]}" in text
    monkeypatch.setattr(run_verbs, "MAX_SORTED", 2)
    text = said("sisy_runs list --sort delay")
    assert "Sorted: the newest 2 matching runs.\nSearched the newest 3 runs" in text
    assert f"To continue, add: --before {keys[1]}" in text
    found = told("sisy_runs list --sort delay")
    assert (found["sorted_among"], found["next_before"]) == (2, keys[1])
    assert told("sisy_runs list")["sorted_among"] is None


def test_runs_whose_task_was_deleted_are_found_by_its_label_or_key():
    run = run_of("once upon a time")
    key = run.task_id
    Task.objects.all().delete()
    assert listed("--task 'once upon a time'") == listed(f"--task {key}") == [run.pk]
    assert "once upon a time" in said("sisy_runs show 'once upon a time'")


def test_a_site_without_runs_says_so():
    assert said("sisy_runs list") == "No runs yet.\n"


def test_a_list_looks_for_longer_than_a_page(monkeypatch):
    found = run_of(queue="rare")
    for _ in range(5):
        run_of()
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 2)
    assert f"{found.pk}" in said("sisy_runs list --queue rare").split()


def test_a_list_that_was_cut_short_says_how_far_it_looked(monkeypatch):
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 2)
    monkeypatch.setattr(run_verbs, "MAX_SECONDS", 0)
    runs = [run_of() for _ in range(4)]
    lines = said("sisy_runs list --queue rare").splitlines()
    assert lines == [
        "No matching runs so far.",
        "Searched the newest 2 runs, back to 2026-05-05 12:00:00.",
        f"To continue, add: --before {runs[2].pk}",
    ]


def test_all_about_a_failed_run_is_shown_with_what_to_do(monkeypatch):
    run = run_of(
        state=RunState.FAILED,
        reason="KeyError: 'x'",
        error="Traceback\n  no water",
        payload={"token": "abc", "size": 3},
    )
    text = seen(f"sisy_runs show {run.pk}", monkeypatch)
    assert "Error:\n  Traceback\n    no water\n" in text
    assert '"size": 3' in text
    assert "abc" not in text
    assert f"why       Run {run.pk} failed: KeyError: 'x'" in text
    assert text.endswith(
        f"To retry it after you have fixed the cause: manage.py sisy_runs retry {run.pk}\n"
    )
    answer = told(f"sisy_runs show {run.pk}")
    assert answer["error"] == "Traceback\n  no water"
    assert answer["input"]["size"] == 3
    assert answer["next"].endswith(f"retry {run.pk}")


@pytest.mark.parametrize(
    ("state", "step"),
    [
        ("queued", "To start a worker: manage.py sisy_worker --queues default"),
        ("running", "--follow"),
        ("succeeded", "To run it again"),
        ("skipped", "To run it now"),
    ],
)
def test_the_next_step_fits_the_state(state, step):
    run = run_of(state=state)
    assert step in told(f"sisy_runs show {run.pk}")["next"]


def test_runs_are_retried_by_their_keys():
    first, second = run_of(state=RunState.FAILED), run_of()
    answer = told(f"sisy_runs retry {first.pk} '#{second.pk}'")
    assert len(answer["submitted"]) == 2
    assert Run.objects.filter(retry_of__in=[first, second]).count() == 2


def test_runs_that_match_are_retried_after_a_confirmation(asked):
    run_of()
    run_of(state=RunState.FAILED)
    run_of(state=RunState.TIMED_OUT)
    asked("y")
    text = said("sisy_runs retry --task tea")
    assert text.startswith("This retries 2 runs: 1 timed out, 1 failed. Task: 'tea'. Each is")
    assert text.endswith(
        "Submitted 2 retries. To see them: manage.py sisy_runs list --origin retry\n"
    )
    assert Run.objects.filter(origin="retry").count() == 2


def test_runs_that_cannot_be_retried_are_reported(capsys):
    live, done = run_of(state=RunState.QUEUED), run_of()
    text = said(f"sisy_runs retry {live.pk} {done.pk}")
    key = Run.objects.latest("pk").pk
    assert f"Submitted 1 retry. It is run {key}. To follow it: " in text
    assert text.endswith(f"manage.py sisy_runs logs {key} --follow\n")
    assert "Only finished runs can be retried." in capsys.readouterr().err
    with pytest.raises(CommandError, match="No runs were retried"):
        said(f"sisy_runs retry {live.pk}")


def test_runs_that_match_are_cancelled_after_a_confirmation(asked):
    run_of(state=RunState.QUEUED, queue="mail")
    run_of(state=RunState.QUEUED, queue="mail")
    run_of(state=RunState.RUNNING, queue="mail")
    run_of(state=RunState.QUEUED)
    asked("yes")
    text = said("sisy_runs cancel --queue mail")
    assert text.startswith(
        "This cancels 2 queued runs and asks 1 running run to stop. Task: 'tea'.\n"
    )
    assert "Cancelled 2 queued runs. Requested cancellation of 1 running run." in text
    assert Run.objects.filter(state="queued").count() == 1


def test_a_confirmation_names_the_tasks_with_most_of_the_runs(asked):
    for label, number in (("tea", 2), ("mail", 3), ("stock", 1), ("backup", 1), ("logs", 1)):
        for _ in range(number):
            run_of(state=RunState.QUEUED, label=label, queue="slow")
    asked("yes")
    assert said("sisy_runs cancel --queue slow").startswith(
        "This cancels 8 queued runs. Tasks: 'mail' (3), 'tea' (2), 'logs' (1) and 2 more.\n"
    )


@pytest.mark.parametrize("word", ["", "n", "no"])
def test_another_answer_than_yes_changes_nothing(asked, word):
    run_of(state=RunState.QUEUED)
    asked(word)
    with pytest.raises(CommandError, match="Nothing was changed") as raised:
        said("sisy_runs cancel --task tea")
    assert raised.value.returncode == 2
    assert Run.objects.filter(state="queued").exists()


def test_ctrl_d_at_a_confirmation_changes_nothing(monkeypatch, asked):
    run_of(state=RunState.QUEUED)
    asked("")
    monkeypatch.setattr("builtins.input", Mock(side_effect=EOFError))
    with pytest.raises(CommandError, match="Nothing was changed") as raised:
        said("sisy_runs cancel --task tea")
    assert raised.value.returncode == 2


def test_without_a_terminal_a_confirmation_is_an_option(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    run_of(state=RunState.QUEUED)
    with pytest.raises(CommandError, match=r"Task: 'tea'\. Add --yes to confirm"):
        said("sisy_runs cancel --task tea")
    answer = told("sisy_runs cancel --task tea --yes")
    assert answer == {"cancelled": 1, "asked": 0, "next_before": None}


@pytest.mark.parametrize(
    ("options", "words"),
    [("--task tea --yes", r"^No runs to cancel\.$"), ("{run}", "^No runs to cancel: run ")],
)
def test_cancelling_nothing_is_an_error(options, words):
    run = run_of()
    with pytest.raises(CommandError, match=words) as raised:
        said(f"sisy_runs cancel {options.format(run=run.pk)}")
    assert raised.value.returncode == 1


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_runs_are_named_by_keys_or_by_filters(verb):
    with pytest.raises(CommandError, match="Name runs by their keys, or choose them by filters"):
        said(f"sisy_runs {verb} --yes")
    with pytest.raises(CommandError, match="Use either keys of runs or filters"):
        said(f"sisy_runs {verb} 7 --queue mail")


def test_states_have_colours_on_a_terminal_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    run_of(state=RunState.FAILED)
    assert "\x1b[" not in said("sisy_runs list")
    assert "\x1b[" not in seen("sisy_runs list --no-color", monkeypatch)
    assert "\x1b[" in seen("sisy_runs list --force-color", monkeypatch)


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setattr("django.core.management.color.supports_color", lambda: True)
    run_of(state=RunState.FAILED)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in seen("sisy_runs list", monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in seen("sisy_runs list", monkeypatch)
