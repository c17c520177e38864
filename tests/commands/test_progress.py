"""Long work says how far it is, and says it where nobody reads the answer."""

import io
import sys

import pytest

from sisy.management import progress
from sisy.management.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "LINE_INTERVAL", 0.0)


def shown(stream, **options):
    with Progress(stream, "Counting", 200, is_quiet=options.get("is_quiet", False)) as bar:
        bar.reach(50, "50 of 200")
        bar.reach(300, "300 of 200")
    return stream.getvalue()


def test_progress_is_printed_now_and_then(often):
    assert shown(io.StringIO()).splitlines() == [
        "Counting: 25%, 50 of 200",
        "Counting: 100%, 300 of 200",
    ]


def test_short_work_prints_no_progress():
    assert shown(io.StringIO()) == ""


def test_at_verbosity_zero_no_progress_is_printed(often):
    assert shown(Terminal(), is_quiet=True) == ""


@pytest.fixture(autouse=True)
def terminal(monkeypatch):
    """Let the terminal be one that can move its cursor, wherever the tests run."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("TTY_COMPATIBLE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_on_a_terminal_a_bar_shows_it_by_rich():
    pytest.importorskip("rich")
    said = shown(Terminal())
    assert "Counting" in said
    assert "300 of 200" in said


@pytest.mark.parametrize("kind", ["dumb", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(often, monkeypatch, kind):
    pytest.importorskip("rich")
    monkeypatch.setenv("TERM", kind)
    assert shown(Terminal()).splitlines() == [
        "Counting: 25%, 50 of 200",
        "Counting: 100%, 300 of 200",
    ]


def test_without_rich_a_terminal_gets_lines_too(often, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert "Counting: 25%" in shown(Terminal())
