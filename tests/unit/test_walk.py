"""The walk sees files in every thread, and counts entries and re-entries as it says."""

import asyncio
import importlib
import os
import subprocess
import sys
import threading

import pytest

from tests.conftest import ROOT
from tests.walk import report
from tests.walk.__main__ import judged
from tests.walk.recorder import Recorder

MODULES = {
    "__init__": "",
    "office": """
        from tiny import desk, post, archive

        def open_day():
            desk.greet()
            desk.note(post.read)
            post.read()

        def in_a_loop():
            for _ in range(3):
                desk.greet()

        def ask_twice():
            words = desk.words()
            next(words)
            next(words)

        def wait_for(event):
            event.wait()
            desk.greet()
            archive.put()
    """,
    "desk": """
        def greet():
            return [(lambda: word)() for word in ("good", "day")]

        def note(read):
            read()

        def words():
            yield "good"
            yield "day"

        async def listen(turns):
            await turn(turns)

        async def turn(turns):
            import asyncio

            for _ in range(turns):
                await asyncio.sleep(0)
                from tiny import archive

                archive.put()
    """,
    "post": """
        from tiny import desk

        def read():
            desk.greet()
    """,
    "archive": """
        def put():
            pass
    """,
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Return a function that imports a module of a made-up package."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for name, text in MODULES.items():
        lines = [line.removeprefix(" " * 8) for line in text.splitlines()]
        (folder / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda name: importlib.import_module(f"tiny.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tiny"]:
        del sys.modules[name]


@pytest.fixture
def recorder(tmp_path):
    before = sys.getprofile()
    recorder = Recorder(tmp_path / "tiny")
    recorder.install()
    yield recorder
    recorder.uninstall()
    sys.setprofile(before)


@pytest.fixture
def walked(tiny, recorder):
    """Return a function that walks through a call."""
    office = tiny("office")

    def walk(step):
        recorder.begin()
        step(office)
        return recorder.end()

    return walk


def counts(walk):
    return {name: (file.entries, file.re_entries) for name, file in walk.files.items()}


def test_files_functions_and_doors_are_counted(walked):
    walk = walked(lambda office: office.open_day())
    assert list(walk.files) == ["office.py", "desk.py", "post.py"]
    assert list(walk.files["desk.py"].functions) == ["greet", "note"]
    # desk.py is entered by two lines of office.py and by one of post.py; post.py by desk.py, while
    # office.py waits for it, and by office.py.
    assert counts(walk) == {"office.py": (1, 0), "desk.py": (3, 2), "post.py": (2, 1)}


def test_a_turn_of_a_loop_is_not_a_re_entry(walked):
    assert counts(walked(lambda office: office.in_a_loop())) == {
        "office.py": (1, 0),
        "desk.py": (1, 0),
    }


def test_a_call_back_into_a_file_that_was_not_left_is_not_a_re_entry(walked, tiny):
    walk = walked(lambda office: tiny("desk").note(tiny("post").read))
    assert counts(walk) == {"desk.py": (2, 0), "post.py": (1, 0)}


def test_every_thread_is_followed_and_each_file_listed_once(walked):
    def step(office):
        for name in ("first", "second"):
            thread = threading.Thread(target=office.in_a_loop, name=name)
            thread.start()
            thread.join()

    walk = walked(step)
    assert {name: list(files) for name, files in walk.threads.items()} == {
        "first": ["office.py", "desk.py"],
        "second": ["office.py", "desk.py"],
    }
    assert counts(walk) == {"office.py": (1, 0), "desk.py": (1, 0)}


def test_a_thread_that_waited_before_the_walk_enters_where_it_continues(tiny, recorder):
    office, event = tiny("office"), threading.Event()
    thread = threading.Thread(target=office.wait_for, args=[event], name="queued")
    thread.start()
    while not recorder.calls:
        event.wait(0.001)
    recorder.begin()
    event.set()
    thread.join()
    walk = recorder.end()
    assert {name: list(files) for name, files in walk.threads.items()} == {
        "queued": ["office.py", "desk.py", "archive.py"]
    }
    assert list(walk.files["office.py"].functions) == ["wait_for"]


def test_a_coroutine_is_entered_once_however_often_it_continues(walked, tiny):
    walk = walked(lambda office: asyncio.run(tiny("desk").listen(5)))
    assert counts(walk) == {"desk.py": (1, 0), "archive.py": (1, 0)}
    assert list(walk.files["desk.py"].functions) == ["listen", "turn"]


def test_a_generator_is_entered_once_although_another_line_continues_it(walked):
    walk = walked(lambda office: office.ask_twice())
    assert counts(walk) == {"office.py": (1, 0), "desk.py": (1, 0)}


def test_nothing_is_counted_before_the_walk_and_after_it(tiny, recorder):
    office = tiny("office")
    office.open_day()
    recorder.begin()
    walk = recorder.end()
    office.open_day()
    assert walk.files == {}
    assert recorder.calls > 0


def test_the_report_ends_with_the_totals(walked):
    shown = report.of(walked(lambda office: office.open_day())).splitlines()
    assert shown[-4:] == [
        "   3 files",
        "   4 functions",
        "   1 thread",
        "   3 re-entries",
    ]
    assert "      greet, note" in shown
    assert "  desk.py: office.py (2), post.py" in shown


@pytest.mark.parametrize(("most", "code"), [(None, 0), (30, 0), (29, 1)])
def test_it_fails_if_more_files_are_entered_than_allowed(most, code, capsys):
    assert judged(30, most) == code
    assert bool(capsys.readouterr().err) == bool(code)


def test_one_due_moment_is_walked_from_the_heartbeat_to_the_function():
    servers = {"DATABASE_URL", "VALKEY_URL"}
    ended = subprocess.run(
        [sys.executable, "-m", "tests.walk", "--most", "1"],
        env={name: value for name, value in os.environ.items() if name not in servers},
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 1, ended.stderr
    assert "at most 1 are allowed" in ended.stderr
    entered = {line.split()[0] for line in ended.stdout.splitlines() if line.startswith("  ")}
    folders = {name.partition("/")[0] for name in entered if "/" in name}
    assert {"heartbeat", "models", "schedules", "worker", "execution", "callables"} <= folders
    assert not folders & {"admin", "checks", "dashboard", "management", "testing"}
