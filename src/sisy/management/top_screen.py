"""The live screen of ``sisy_top``, by Textual. It knows nothing about the database."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static

from sisy.management.table import shown
from sisy.management.top_sections import Action, Section, View
from sisy.runtime.escaping import escaped

REFRESH_INTERVAL = 2.0  # seconds
COLOURS = {"good": "green", "bad": "bold red", "warn": "yellow", "open": "bold", "quiet": "dim"}
HELP = """\
tab, shift+tab   next or previous list
up, down         choose a row
enter            show the whole row
a                acknowledge the alert
p                pause the queue, or resume it
d                drain the worker
c                cancel the run, or ask it to stop
r                retry the failed run
space            refresh now
q                quit

Press any key to continue."""


class Dialog(ModalScreen[bool]):
    """A text over the screen; for a question, the answer is True or False."""

    CSS = """
    Dialog { align: center middle; }
    Dialog Static { width: auto; max-width: 76; padding: 1 2; border: round $accent;
                    background: $surface; }
    """

    def __init__(self, text: str, *, is_question: bool) -> None:
        super().__init__()
        self._text = f"{text}\n\ny: yes   n: no" if is_question else text
        self._is_question = is_question

    def compose(self) -> ComposeResult:
        yield Static(Text(self._text))

    def on_key(self, event: Key) -> None:
        """Take any key as the answer; only y means yes."""
        event.stop()
        self.dismiss(self._is_question and event.key == "y")


class TopScreen(App[None]):
    """The screen.

    Args:
        read: reads what to show; called in a thread, again and again.
        actions: what keys do, by the names of actions.
    """

    TITLE = "Sisy"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #headline { height: 1; }
    .title { color: $text-muted; text-style: bold; height: 1; margin-top: 1; }
    DataTable { height: auto; max-height: 9; overflow-x: hidden; background: transparent; }
    .empty { color: $text-muted; height: 1; }
    #said { height: auto; max-height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "change('acknowledge')", "Acknowledge"),
        Binding("c", "change('cancel')", "Cancel"),
        Binding("r", "change('retry')", "Retry"),
        Binding("p", "change('pause')", "Pause"),
        Binding("d", "change('drain')", "Drain"),
        Binding("space", "refresh", "Refresh", show=False),
        Binding("question_mark,f1", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(
        self,
        read: Callable[[], View],
        actions: dict[str, Action],
        interval: float = REFRESH_INTERVAL,
    ) -> None:
        super().__init__()
        self._read, self._actions, self._interval = read, actions, interval
        self._keys: dict[str, list[str]] = {}
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._reading = asyncio.Lock()
        self._is_cut_off = False

    def compose(self) -> ComposeResult:
        yield Static("Loading …", id="headline")
        yield VerticalScroll(id="sections", can_focus=False)
        yield Static("", id="said")
        yield Footer()

    async def on_mount(self) -> None:
        await self.refresh_view()
        self.set_interval(self._interval, self.refresh_view)

    async def action_refresh(self) -> None:
        await self.refresh_view()

    async def refresh_view(self) -> None:
        """Read and show everything; if that fails, say why and keep what was shown."""
        async with self._reading:
            try:
                view = await asyncio.to_thread(self._read)
            except Exception as error:  # noqa: BLE001 - an outage must not end the screen
                self._say(f"Cannot refresh: {error}. Retrying in {self._interval:g} s.", "bad")
                self._is_cut_off = True
                return
            if self._is_cut_off:
                self._say("", "quiet")
                self._is_cut_off = False
            self.query_one("#headline", Static).update(_text(view.headline))
            for section in view.sections:
                await self._show(section)

    async def _show(self, section: Section) -> None:
        table = await self._table_of(section)
        row = table.cursor_row
        chosen = self._chosen(section.name)
        self._keys[section.name], self._rows[section.name] = section.keys, section.rows
        table.clear(columns=True)
        table.display = bool(section.rows)
        self.query_one(f"#{section.name}-empty", Static).display = not section.rows
        if not section.rows:
            return
        table.add_columns(*(name.replace("_", " ") for name in section.rows[0]))
        for cells in section.rows:
            table.add_row(*map(_text, cells.values()))
        # The same row stays chosen, wherever it is now.
        row = section.keys.index(chosen) if chosen and chosen in section.keys else row
        table.move_cursor(row=min(row, len(section.rows) - 1))

    async def _table_of(self, section: Section) -> "DataTable[Text]":
        found = self.query(f"#{section.name}")
        if not found:
            table: DataTable[Text] = DataTable(id=section.name, cursor_type="row")
            await self.query_one("#sections").mount(
                Static(section.title, classes="title"),
                Static(section.empty, id=f"{section.name}-empty", classes="empty"),
                table,
            )
        return self.query_one(f"#{section.name}", DataTable)

    def _chosen(self, name: str) -> str:
        """Return the key of the row under the cursor; empty if there is none."""
        keys = self._keys.get(name, [])
        row = self.query_one(f"#{name}", DataTable).cursor_row
        return keys[row] if 0 <= row < len(keys) else ""

    async def action_change(self, name: str) -> None:
        action = self._actions[name]
        if not (key := self._chosen(action.section)):
            self._say(f"Nothing to {name}.", "warn")
            return

        async def answered(is_confirmed: bool | None) -> None:
            if is_confirmed:
                await self._change(action, key)

        await self.push_screen(Dialog(action.question(key), is_question=True), answered)

    async def _change(self, action: Action, key: str) -> None:
        try:
            self._say(await asyncio.to_thread(action.do, key), "good")
        except Exception as error:  # noqa: BLE001 - a refusal is shown, and ends nothing
            self._say(str(error), "bad")
        await self.refresh_view()

    async def on_data_table_row_selected(self, event: "DataTable.RowSelected") -> None:
        """Show all of a row: its cells may be cut."""
        rows = self._rows[event.data_table.id or ""]
        cells = rows[event.cursor_row].items() if event.cursor_row < len(rows) else ()
        text = "\n".join(f"{name}: {shown(value)}" for name, value in cells)
        await self.push_screen(Dialog(text, is_question=False))

    async def action_help(self) -> None:
        await self.push_screen(Dialog(HELP, is_question=False))

    def _say(self, words: str, look: str) -> None:
        self.query_one("#said", Static).update(Text(escaped(words), COLOURS[look]))


def _text(value: object) -> Text:
    """Return a value as a cell, never as markup."""
    return Text(shown(value), COLOURS.get(getattr(value, "look", ""), ""))
