"""Does CI run all it should, tell how long each step took, and fail if one of them does?"""

import os
import re
import subprocess

import pytest

from tests.conftest import ROOT

STEPS = [
    "install",
    "test",
    "tox ENV=py313-django61-mariadb",
    "test-browser",
    "test-conformance",
    "chaos SECONDS=60",
    "bench QUICK=1",
    "demo SECONDS=30",
]
MAKE = """#!/bin/sh
echo "made $*"
[ "$*" != "$FAIL_AT" ] || exit 7
[ "$1" != demo ] || echo "visits: count up ${DEMO_RUNS:-20} 0"
"""
NOTHING = "#!/bin/sh\n"


@pytest.fixture
def ci(tmp_path):
    """Return a function that runs CI with a make and an apt-get that do nothing but say so."""
    for name, text in (("make", MAKE), ("apt-get", NOTHING)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(**environment):
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(
            [ROOT.parent / ".ci" / "run"],
            env={**os.environ, "PATH": path, "FAIL_AT": "", **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def made(ended):
    return re.findall(r"^made (.*)$", ended.stdout, re.MULTILINE)


def test_ci_runs_and_times_every_step_and_counts_them(ci):
    ended = ci()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    asked = made(ended)
    assert len(asked) == len(STEPS)
    assert all(one.startswith(step) for one, step in zip(asked, STEPS, strict=True))
    number = len(STEPS) + 1  # and the packages
    *_, last = ended.stdout.splitlines()
    assert re.fullmatch(rf"===== {number} passed in \d+s \(\d+:\d\d\) =====", last)
    summary = ended.stdout.partition("===== steps =====\n")[2].splitlines()[:-1]
    assert len(summary) == number
    assert all(re.fullmatch(r".*\d+:\d\d", line) for line in summary)


def test_a_failing_step_ends_ci_with_its_name_and_exit_code(ci):
    ended = ci(FAIL_AT="test-browser")
    assert ended.returncode == 7
    assert made(ended)[-1] == "test-browser"
    *_, last = ended.stdout.splitlines()
    assert "1 failed (browser, exit code 7)" in last


def test_a_failing_step_beside_another_ends_ci_with_all_of_its_output(ci):
    ended = ci(FAIL_AT="test-conformance")
    assert ended.returncode == 7
    assert made(ended)[-2:] == ["test-browser", "test-conformance"]
    *_, last = ended.stdout.splitlines()
    assert "1 failed (conformance, exit code 7)" in last


def test_a_demo_with_too_few_runs_fails(ci):
    assert ci(DEMO_RUNS="3").returncode != 0
