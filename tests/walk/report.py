"""Shows a walk as text."""

import textwrap
from collections import Counter
from collections.abc import Iterator

from tests.walk.recorder import FileVisits, Walk

WIDTH = 99
NAME_WIDTH = 36


def of(walk: Walk) -> str:
    """Return the files by thread, where those come from that are entered again, and the totals.

    A file is listed once, under the first of the threads that enter it.
    """
    files = walk.files
    return "\n".join([*_threads(walk, files), *_sources(files), "", *_totals(walk, files)])


def _threads(walk: Walk, files: dict[str, FileVisits]) -> Iterator[str]:
    yield " " * NAME_WIDTH + "   functions  entries  re-entries"
    listed: set[str] = set()
    without_own = {}
    for thread, visits in walk.threads.items():
        own = [name for name in visits if name not in listed]
        listed.update(own)
        if own:
            yield f"\n{thread}{_shared(len(visits) - len(own))}"
        else:
            without_own[thread] = len(visits)
        for name in own:
            yield from _file(name, files[name])
    for thread, count in sorted(without_own.items()):
        yield f"\n{thread}{_shared(count)}"


def _shared(count: int) -> str:
    return f" (and {count} of the files above)" if count else ""


def _file(name: str, file: FileVisits) -> Iterator[str]:
    again = file.re_entries or ""
    line = f"  {name:{NAME_WIDTH}}{len(file.functions):10}{file.entries:9}{again:>12}"
    yield line.rstrip()
    yield _filled(", ".join(sorted(file.functions, key=file.functions.__getitem__)), 6)


def _sources(files: dict[str, FileVisits]) -> Iterator[str]:
    yield "\nFiles that are entered again, and from where"
    for name, file in sorted(files.items(), key=lambda one: (-one[1].re_entries, one[0])):
        if file.re_entries:
            times = Counter(sorted(source for source, _ in file.doors.values()))
            sources = [f"{source} ({n})" if n > 1 else source for source, n in times.items()]
            yield _filled(f"{name}: {', '.join(sources)}", 2, 6)


def _totals(walk: Walk, files: dict[str, FileVisits]) -> Iterator[str]:
    yield _count(len(files), "file")
    yield _count(sum(len(file.functions) for file in files.values()), "function")
    yield _count(len(walk.threads), "thread")
    yield _count(sum(file.re_entries for file in files.values()), "re-entry", "re-entries")


def _count(number: int, noun: str, nouns: str = "") -> str:
    return f"{number:4} {noun if number == 1 else nouns or f'{noun}s'}"


def _filled(text: str, first: int, others: int | None = None) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * (first if others is None else others),
        break_long_words=False,
    )
