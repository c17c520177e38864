"""The manual as the tests read it: pages, fenced blocks, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "learn" / "cron-in-django.md"
START = DOCS / "start.md"

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>.*)$")
FILE_NAME = re.compile(r"# (?P<path>[\w./-]+\.\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; ``line`` is that of its first line of text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The path that the first line names, if the block is a file."""
        match = FILE_NAME.fullmatch(self.text.partition("\n")[0].strip())
        return match["path"] if match else None

    @property
    def is_session(self) -> bool:
        """Whether the block shows a session at the interpreter's prompt."""
        return self.text.startswith(">>> ")

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Return all pages: those of the root, and those of the manual."""
    built = DOCS / "_build"
    manual = [page for page in DOCS.rglob("*.md") if built not in page.parents]
    return sorted(ROOT.glob("*.md")) + sorted(manual)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def blocks_of(page: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a page, in order."""
    return tuple(_blocks(page))


def all_blocks() -> Iterator[Block]:
    for page in pages():
        yield from blocks_of(page)


def _blocks(page: Path) -> Iterator[Block]:
    opened: tuple[int, str, int] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = FENCE.match(line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number + 1, fence["info"].strip(), len(fence["indent"])), []
        else:
            first, language, indent = opened
            text = "".join(line[indent:] + "\n" for line in lines)
            yield Block(page=page, line=first, language=language, text=text)
            opened = None
    assert opened is None, f"{name_of(page)}: the block at line {opened[0]} has no end"


def tables_of(page: Path) -> dict[str, list[list[str]]]:
    """Return the rows of each table of a page, without its head, by the head's first cell.

    Tables with the same first cell are joined.
    """
    found: dict[str, list[list[str]]] = {}
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("| ---"):
            head = _cells(lines[number - 1])[0]
            rows = found.setdefault(head, [])
            for row in lines[number + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(_cells(row))
    return found


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip()[1:-1].split("|")]


def words_in(cell: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", cell)
