"""Wrong settings: a sentence for each, at once, from whatever command; never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = """
from tests.settings import *
SISY_POLL_INTERVAL = "1"
SISY_LOST_LIMIT = 1.5
SISY_RUN_TASK_CHANNEL = "my jobs"
SISY_DEFAULT_SCHEDULE = "61 * * * *"
"""
SENTENCES = [
    "SISY_POLL_INTERVAL must be a number from 0.05 to 60, not '1'.",
    "SISY_LOST_LIMIT must be a whole number from 0 to 100, not 1.5.",
    "SISY_RUN_TASK_CHANNEL must be 1 to 38 ASCII letters, digits, '-', '_' or '.', not 'my jobs'.",
]


@pytest.fixture
def manage(tmp_path):
    """Return a function that runs a command with wrong settings."""
    (tmp_path / "wrong_settings.py").write_text(SETTINGS)
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    env = {**os.environ, "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "wrong_settings"}

    def run(*args):
        return subprocess.run(
            [sys.executable, "-m", "django", *args],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    "command", [["check"], ["sisy_worker", "--no-reload"], ["sisy_tasks", "list"]]
)
def test_a_command_names_all_wrong_settings_at_once(manage, command):
    ended = manage(*command)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    for sentence in SENTENCES:
        assert f"(sisy.E001) {sentence}" in ended.stderr
    assert "(sisy.E002) minute: 61 is out of range. Use 0 to 59." in ended.stderr


@pytest.mark.parametrize("command", [["sisy_health"], ["sisy_heartbeat", "--skip-checks"]])
def test_a_command_without_checks_says_it_in_one_line(manage, command):
    ended = manage(*command)
    assert ended.returncode == 1
    line = ended.stderr.splitlines()[-1]
    assert line.startswith("CommandError: SISY_")
    assert all(sentence in line for sentence in SENTENCES)
    assert "Traceback" not in ended.stderr
