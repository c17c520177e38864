"""Return the name, message and traceback of any exception of user code. Never raises.

An exception may be of any class, and its methods and attributes may raise anything, including
SystemExit. An error that left this module would leave a run without an outcome or end a thread.
"""

import threading
import traceback
from collections import deque
from traceback import walk_tb
from types import TracebackType

_TRACEBACK = BaseException.__dict__["__traceback__"]

MAX_FRAMES = 100

Frame = tuple[str, int, str]
"""The file, the line and the function of a call."""

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def name_of(error: BaseException) -> str:
    """Return the name of the class of ``error``."""
    try:
        return str(type(error).__name__)
    except BaseException:  # noqa: BLE001 - see above
        return "<exception without a name>"


def path_of(error_class: type[BaseException]) -> str:
    """Return the dotted path of a class; empty if it has none."""
    try:
        return f"{error_class.__module__}.{error_class.__qualname__}"
    except BaseException:  # noqa: BLE001 - see above
        return ""


def words_of(error: BaseException) -> str:
    """Return the message of ``error``."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - see above
        return "<exception str() failed>"


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether ``error`` may come from Ctrl-C, which only the main thread receives."""
    # Not isinstance(): a user's exception may raise in __class__.
    is_interrupt = issubclass(type(error), KeyboardInterrupt)
    return is_interrupt and threading.current_thread() is threading.main_thread()


def traceback_of(error: BaseException) -> str:
    """Return the traceback of ``error`` as text."""
    try:
        return "".join(traceback.format_exception(*exc_info_of(error)))
    except BaseException:  # noqa: BLE001 - see above
        return f"<no traceback of {name_of(error)}>"


def stack_of(error: BaseException) -> tuple[Frame, ...]:
    """Return the innermost calls of the traceback of ``error``, the outermost of them first."""
    try:
        calls = walk_tb(_TRACEBACK.__get__(error))
        frames = (
            (frame.f_code.co_filename, line, frame.f_code.co_name)
            for frame, line in calls
            if line is not None
        )
        return tuple(deque(frames, MAX_FRAMES))
    except BaseException:  # noqa: BLE001 - see above
        return ()


def exc_info_of(error: BaseException) -> ExcInfo:
    """Return the tuple that logging accepts as ``exc_info``."""
    # Logging would test the truth of a bare exception, which may raise.
    return type(error), error, _TRACEBACK.__get__(error)
