"""Records which files and functions are entered in each thread of this process."""

import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

CONTINUES = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR
ANONYMOUS = re.compile(r"(\.<locals>)?\.?<(?!locals>).*")
"""The end of a qualified name that belongs to the function around it."""

Door = tuple[CodeType, int]


@dataclass(slots=True)
class FileVisits:
    """What a walk enters of one file, in one thread or in all.

    Attributes:
        functions: their names, and the lines where they begin.
        doors: where each leads from, a file or a thread; and whether the file was on the stack.
    """

    functions: dict[str, int] = field(default_factory=dict)
    doors: dict[Door, tuple[str, bool]] = field(default_factory=dict)

    def enter(self, door: Door, source: str, is_open: bool) -> None:
        """Note an entry; by a door that leads back into an open file, the file was not left."""
        self.doors[door] = source, is_open and self.doors.get(door, ("", True))[1]

    def add(self, other: "FileVisits") -> None:
        """Add what another thread enters."""
        self.functions.update(other.functions)
        for door, (source, is_open) in other.doors.items():
            self.enter(door, source, is_open)

    @property
    def entries(self) -> int:
        return len(self.doors)

    @property
    def re_entries(self) -> int:
        return max(0, sum(not is_open for _, is_open in self.doors.values()) - 1)


@dataclass(slots=True)
class Walk:
    """What each thread enters, by file; threads and files in the order of their first entry."""

    threads: dict[str, dict[str, FileVisits]] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, FileVisits]:
        """What all threads enter."""
        files: dict[str, FileVisits] = {}
        for visits in self.threads.values():
            for name, visit in visits.items():
                files.setdefault(name, FileVisits()).add(visit)
        return files


class Recorder:
    """Follows the calls into the modules of a package.

    Install it before the threads begin that it is to follow.

    Args:
        root: the package's folder.

    Attributes:
        calls: how many calls it has followed, in a walk or not.
    """

    def __init__(self, root: Path) -> None:
        self._root = f"{root.resolve()}/"
        self._files: dict[CodeType, str | None] = {}
        self._walk: Walk | None = None
        self._continuing: dict[int, FrameType] = {}
        self._lock = threading.Lock()
        self.calls = 0

    def install(self) -> None:
        """Follow this thread, and the threads that begin from now on."""
        threading.setprofile(self._follow)
        sys.setprofile(self._follow)

    def uninstall(self) -> None:
        """Follow neither this thread nor those that begin from now on."""
        threading.setprofile(None)
        sys.setprofile(None)

    def begin(self) -> None:
        """Begin a walk."""
        with self._lock:
            self._walk = Walk()

    def end(self) -> Walk:
        """End the walk and return it."""
        with self._lock:
            walk, self._walk = self._walk, None
            self._continuing.clear()
        assert walk is not None, "begin() comes first"
        return walk

    def _follow(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and self._file_of(frame) is not None:
            with self._lock:
                self.calls += 1
                if self._walk is not None and self._is_call(frame):
                    thread = threading.current_thread().name
                    self._note(self._walk.threads.setdefault(thread, {}), frame)

    def _file_of(self, frame: FrameType) -> str | None:
        """Return the file, relative to the package's folder; None for other packages."""
        code = frame.f_code
        if code not in self._files:
            path = code.co_filename
            is_inside = path.startswith(self._root)
            self._files[code] = path.removeprefix(self._root) if is_inside else None
        return self._files[code]

    def _is_call(self, frame: FrameType) -> bool:
        """Return False if a coroutine or a generator only continues after a wait."""
        if not frame.f_code.co_flags & CONTINUES:
            return True
        is_known = id(frame) in self._continuing
        # The frame is kept, since another frame could get the id of one that is gone.
        self._continuing[id(frame)] = frame
        return not is_known

    def _note(self, visits: dict[str, FileVisits], frame: FrameType) -> None:
        name = self._file_of(frame)
        assert name is not None
        caller = next(self._below(frame), None)
        source = threading.current_thread().name if caller is None else self._file_of(caller)
        if caller is not None and not self._is_noted(visits, caller):
            self._note(visits, caller)  # it was called before the walk and continues after a wait
        visit = visits.setdefault(name, FileVisits())
        visit.functions.setdefault(name_of(frame.f_code), frame.f_code.co_firstlineno)
        if source is not None and source != name:
            door = (caller.f_code, caller.f_lineno) if caller else (frame.f_code, 0)
            is_open = any(self._file_of(below) == name for below in self._below(frame))
            visit.enter(door, source, is_open)

    def _is_noted(self, visits: dict[str, FileVisits], frame: FrameType) -> bool:
        visit = visits.get(self._file_of(frame) or "")
        return visit is not None and name_of(frame.f_code) in visit.functions

    def _below(self, frame: FrameType) -> Iterator[FrameType]:
        """Yield the frames of the package on the stack, from the caller down."""
        below = frame.f_back
        while below is not None:
            if self._file_of(below) is not None:
                yield below
            below = below.f_back


def name_of(code: CodeType) -> str:
    """Return the name of the ``def`` to which code belongs, or "module"."""
    return ANONYMOUS.sub("", code.co_qualname).replace(".<locals>", "") or "module"
