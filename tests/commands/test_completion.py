"""Shells complete commands, options and the names of what exists."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import DatabaseError

from sisy.management import completion
from sisy.management.completion import candidates, unquoted
from sisy.models import Alert, Queue
from sisy.records.problems import Kind
from tests.commands.calling import said
from tests.support.hostile import STORABLE
from tests.support.moments import NOON
from tests.support.records import open_alert, scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

ROOT = Path(__file__).parents[2]


def test_commands_verbs_and_options_are_completed():
    assert candidates(["sisy_ru"]) == ["sisy_runs"]
    assert "migrate" in candidates([""])
    assert candidates(["sisy_runs", ""]) == ["cancel", "list", "logs", "retry", "show"]
    assert candidates(["sisy_runs", "--no-color", "re"]) == ["retry"]
    assert candidates(["sisy_runs", "list", "--st"]) == ["--state"]
    assert candidates(["sisy_runs", "list", "--state", "f"]) == ["failed"]
    assert candidates(["sisy_runs", "list", "--state", "failed", "--or"]) == ["--origin"]
    assert candidates(["sisy_worker", "--po"]) == ["--pool"]
    assert candidates(["sisy_worker", "--pool", "p"]) == ["processes"]
    assert candidates(["migrate", ""]) == []
    assert candidates(["nonsense", ""]) == []


def test_names_are_completed_from_the_database():
    scheduled(label="count products", queue="mail")
    scheduled(label="tea")
    Queue.objects.pause("cpu")
    process = worker()
    assert candidates(["sisy_tasks", "show", ""]) == ["count products", "tea"]
    assert candidates(["sisy_tasks", "why", "c"]) == ["count products"]
    assert candidates(["sisy_runs", "list", "--task", "t"]) == ["tea"]
    assert candidates(["sisy_runs", "show", "t"]) == ["tea"]
    assert candidates(["sisy_tasks", "retry", ""]) == []
    alerts = [open_alert(scheduled(), Kind.FAILING, NOON) for _ in range(2)]
    Alert.objects.filter(pk=alerts[0].pk).close("ann", NOON)
    assert candidates(["sisy_alerts", "close", ""]) == [str(alerts[1].pk)]
    assert candidates(["sisy_alerts", "reopen", ""]) == [str(alerts[0].pk)]
    assert candidates(["sisy_queues", "pause", ""]) == ["cpu", "default", "mail"]
    assert candidates(["sisy_worker", "--queues", "m"]) == ["mail"]
    name = f"{process.pid}@{process.host}"
    assert name in candidates(["sisy_workers", "drain", ""])


def test_a_name_that_would_control_the_terminal_is_left_out(monkeypatch):
    monkeypatch.setitem(completion.NAMES, "task", lambda using, begin: ["tea", STORABLE])
    assert candidates(["sisy_tasks", "show", ""]) == ["tea"]


def test_a_database_that_is_down_completes_nothing(monkeypatch):
    def down(using, begin):
        raise DatabaseError("down")

    monkeypatch.setitem(completion.NAMES, "task", down)
    assert candidates(["sisy_tasks", "show", ""]) == []


@pytest.mark.parametrize(
    ("word", "meant"),
    [("count\\ pro", "count pro"), ("'count pro", "count pro"), ('"a', "a"), ("", ""), ("a", "a")],
)
def test_what_the_shell_quotes_is_read(word, meant):
    assert unquoted(word) == meant


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script_that_says_how_to_load_it(shell):
    text = said(f"sisy_completion {shell}")
    assert f"python manage.py sisy_completion {shell}" in text
    with pytest.raises(CommandError, match="invalid choice"):
        said("sisy_completion tcsh")


LINES = [
    ("sisy_ru", ["sisy_runs"]),
    ("sisy_runs list --st", ["--state"]),
    ("sisy_runs list --state fa", ["failed"]),
    ("sisy_completion b", ["bash"]),
]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_what_was_typed(tmp_path):
    script = tmp_path / "completion.bash"
    script.write_text(said("sisy_completion bash"))
    asked = "\n".join(
        f"COMP_WORDS=({sys.executable} tests/manage.py {line}); "
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _sisy_complete; echo "${COMPREPLY[*]}"'
        for line, _ in LINES
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f"source {script}\n{asked}\ncomplete -p python manage.py"],
        cwd=ROOT, env={**os.environ, "SISY_TEST_FOLDER": str(tmp_path)}, text=True,
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    *answers, python, manage = done.stdout.splitlines()
    assert answers == [" ".join(found) for _, found in LINES]
    assert "_sisy_complete python" in python
    assert "_sisy_complete manage.py" in manage


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_the_script(tmp_path):
    script = tmp_path / "completion.zsh"
    script.write_text(said("sisy_completion zsh"))
    subprocess.run(["zsh", "-n", str(script)], check=True, timeout=60)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_reads_the_script(tmp_path):
    script = tmp_path / "completion.fish"
    script.write_text(said("sisy_completion fish"))
    subprocess.run(["fish", "--no-execute", str(script)], check=True, timeout=60)
