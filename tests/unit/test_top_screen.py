"""The live screen of sisy_top, driven by Textual's own pilot, without a database."""

import pytest

pytest.importorskip("textual")

from textual.widgets import DataTable, Static

from sisy.management.table import Look
from sisy.management.top_screen import Dialog, TopScreen
from sisy.management.top_sections import Action, Section, View

NAMES = ("alerts", "queues", "workers", "running", "failures")
pytestmark = pytest.mark.asyncio


class Site:
    """What the screen reads, and what it was asked to do."""

    def __init__(self, **rows):
        self.rows, self.done, self.broken = rows, [], ""

    def read(self):
        if self.broken:
            raise OSError(self.broken)
        parts = [self.part(name) for name in NAMES]
        return View(headline=Look("2 problems · 1 worker", "bad"), sections=parts)

    def part(self, name):
        keys = self.rows.get(name, [])
        rows = [{"name": f"[b]{key}[/b]", "state": Look("failed", "bad")} for key in keys]
        return Section(name=name, title=name, rows=rows, keys=keys, empty=f"No {name}.")

    def do(self, key):
        self.done.append(key)
        return f"Did {key}."

    def screen(self):
        actions = {
            name: Action(section=section, question=f"{name} {{}}?".format, do=self.do)
            for name, section in {
                "acknowledge": "alerts",
                "pause": "queues",
                "drain": "workers",
                "cancel": "running",
                "retry": "failures",
            }.items()
        }
        return TopScreen(self.read, actions, interval=3600)


def said(screen):
    return str(screen.query_one("#said", Static).content)


async def settled(pilot):
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def test_the_screen_shows_the_state_and_all_parts():
    site = Site(alerts=["7"], queues=["mail"])
    async with site.screen().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        screen = pilot.app
        assert str(screen.query_one("#headline", Static).content) == "2 problems · 1 worker"
        table = screen.query_one("#alerts", DataTable)
        assert str(table.get_row_at(0)[0]) == "[b]7[/b]"  # as text, not as markup
        assert screen.query_one("#failures-empty", Static).display
        assert not screen.query_one("#alerts-empty", Static).display


@pytest.mark.parametrize(
    ("key", "part"),
    [("a", "alerts"), ("p", "queues"), ("d", "workers"), ("c", "running"), ("r", "failures")],
)
async def test_a_key_changes_the_chosen_row_once_it_is_confirmed(key, part):
    site = Site(**{part: ["one", "two"]})
    async with site.screen().run_test() as pilot:
        await settled(pilot)
        pilot.app.query_one(f"#{part}", DataTable).move_cursor(row=1)
        await pilot.press(key)
        assert isinstance(pilot.app.screen, Dialog)
        await pilot.press("y")
        await settled(pilot)
        assert site.done == ["two"]
        assert said(pilot.app) == "Did two."


async def test_any_other_key_than_y_changes_nothing():
    site = Site(running=["7"])
    async with site.screen().run_test() as pilot:
        await settled(pilot)
        await pilot.press("c", "n")
        await settled(pilot)
        assert site.done == []
        assert not isinstance(pilot.app.screen, Dialog)


async def test_a_key_without_a_row_says_that_there_is_nothing():
    async with Site().screen().run_test() as pilot:
        await settled(pilot)
        await pilot.press("a")
        assert said(pilot.app) == "Nothing to acknowledge."


async def test_the_same_row_stays_chosen_when_rows_come_and_go():
    site = Site(running=["1", "2"])
    async with site.screen().run_test() as pilot:
        await settled(pilot)
        table = pilot.app.query_one("#running", DataTable)
        table.move_cursor(row=1)
        site.rows["running"] = ["0", "1", "2"]
        await pilot.press("space")
        await settled(pilot)
        assert table.cursor_row == 2
        site.rows["running"] = ["0"]
        await pilot.press("space")
        await settled(pilot)
        assert table.cursor_row == 0


async def test_an_outage_is_shown_and_ends_nothing():
    site = Site(queues=["mail"])
    async with site.screen().run_test() as pilot:
        await settled(pilot)
        site.broken = "the server closed the connection"
        await pilot.press("space")
        await settled(pilot)
        assert "Cannot refresh: the server closed the connection. Retrying" in said(pilot.app)
        assert pilot.app.query_one("#queues", DataTable).row_count == 1
        site.broken = ""
        await pilot.press("space")
        await settled(pilot)
        assert said(pilot.app) == ""


async def test_a_refusal_is_shown():
    site = Site(failures=["7"])
    screen = site.screen()

    def refuse(key):
        raise ValueError(f"Run {key} is running.")

    site.do = refuse
    screen = site.screen()
    async with screen.run_test() as pilot:
        await settled(pilot)
        await pilot.press("r", "y")
        await settled(pilot)
        assert said(pilot.app) == "Run 7 is running."


async def test_enter_shows_all_of_a_row():
    async with Site(failures=["7" * 300]).screen().run_test() as pilot:
        await settled(pilot)
        pilot.app.query_one("#failures", DataTable).focus()
        await pilot.press("enter")
        await settled(pilot)
        assert "7" * 300 in str(pilot.app.screen.query_one(Static).content)


async def test_help_lists_the_keys_and_q_quits():
    async with Site().screen().run_test() as pilot:
        await settled(pilot)
        await pilot.press("question_mark")
        assert "acknowledge the alert" in str(pilot.app.screen.query_one(Static).content)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, Dialog)
        await pilot.press("q")
        assert not pilot.app.is_running or pilot.app._exit
