"""Does the first page lead a new user to a run, in an empty environment and under five minutes?"""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from http.cookiejar import CookieJar
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from tests.docs.pages import ROOT, START, blocks_of
from tests.processes.http import free_port
from tests.processes.process import Process
from tests.support.waiting import WAIT_TIMEOUT, wait_until

FIVE_MINUTES = 300.0
KEPT = ("PATH", "LANG", "TMPDIR", "PYENV_ROOT")
KEPT_PREFIXES = ("PIP_", "UV_", "SSL_", "REQUESTS_", "CURL_")
SERVES = "manage.py sisy"
SUPERUSER = "manage.py createsuperuser"
RUNSERVER = "manage.py runserver"
NAME, PASSWORD = "ada", "a long pass phrase"
DASHBOARD = re.compile(r"`http://127\.0\.0\.1:8000(/[\w/]+)`")

pytestmark = pytest.mark.skipif(
    find_spec("uv") is None, reason="needs uv, which builds the wheel: make test-sqlite"
)


class NewUser:
    """Does what the page says, in a folder that was empty."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder / "site"
        self.folder.mkdir()
        self._wheel = wheel
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if name in KEPT or name.startswith(KEPT_PREFIXES)
        }
        self._environment |= {"HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        self._environment |= {
            "DJANGO_SUPERUSER_USERNAME": NAME,
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "DJANGO_SUPERUSER_EMAIL": "",
        }
        self.port = free_port()
        self.serving: dict[str, Process] = {}

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        before = path.read_text() + "\n\n" if path.exists() else ""
        path.write_text(before + text)

    def type(self, line: str) -> str:
        """Run a command as it stands on the page, and return what it says."""
        command = shlex.split(line)
        if command[0] == "python":
            command[0] = sys.executable
        command = [
            str(self._wheel) if word == "sisy" and "pip" in line else word for word in command
        ]
        if line.endswith(RUNSERVER):
            return self._serve([*command, self.port], "runserver", "Quit the server")
        if line.endswith(SUPERUSER):
            command.append("--noinput")  # what it would ask for is in the environment
        if line.endswith(SERVES):
            return self._serve(command, "sisy", "Hello from hello")
        ended = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=FIVE_MINUTES,
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def _serve(self, command: list[str], name: str, sign: str) -> str:
        log = self.folder.parent / f"{name}.log"
        self.serving[name] = Process(command, self._environment, log, self.folder)
        self.serving[name].says(sign)
        return ""

    def page_behind_sign_in(self, path: str) -> str:
        """Return a page as the superuser of the manual sees it."""
        browser = build_opener(HTTPCookieProcessor(cookies := CookieJar()))
        address = f"http://127.0.0.1:{self.port}/admin/login/"
        browser.open(address, timeout=WAIT_TIMEOUT).close()
        [token] = [cookie.value for cookie in cookies if cookie.name == "csrftoken"]
        form = {"csrfmiddlewaretoken": token, "username": NAME, "password": PASSWORD, "next": path}
        with browser.open(address, urlencode(form).encode(), timeout=WAIT_TIMEOUT) as answer:
            return answer.read().decode()

    def close(self) -> None:
        for process in self.serving.values():
            process.clear_away()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "uv", "build", "--wheel", "--quiet", "--out-dir", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, timeout=FIVE_MINUTES)
    [wheel] = folder.glob("sisy-*.whl")
    return wheel


@pytest.fixture
def user(tmp_path, wheel):
    user = NewUser(tmp_path, wheel)
    yield user
    user.close()


def test_following_the_start_page_shows_a_run_within_five_minutes(user):
    began = time.monotonic()
    said = ""
    for block in blocks_of(START):
        if block.file:
            user.write(block.file, block.text)
        elif block.language == "console":
            for line in block.text.splitlines():
                said += user.type(line.removeprefix("$ "))
    taken = time.monotonic() - began
    assert "hello" in said
    history = ".venv/bin/python manage.py sisy_tasks history hello --json"
    states = [run["state"] for run in json.loads(user.type(history))]
    # Missed is what fell due between two commands, before anything was up to plan it.
    assert set(states) <= {"succeeded", "running", "queued", "missed"}
    assert "succeeded" in states
    [path] = DASHBOARD.findall(START.read_text())
    assert "hello" in user.page_behind_sign_in(path)
    sisy = user.serving["sisy"]
    wait_until(lambda: sisy.output.count("Hello from hello") > 1, "it says so again")
    assert sisy.stop() == 0
    assert sisy.complaints() == []
    assert taken < FIVE_MINUTES
    print(said, sisy.output)
    print(f"{taken:.0f} s from an empty folder to a run")
