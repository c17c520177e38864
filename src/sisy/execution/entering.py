"""Enter the context of a run, and notify the observers of calls of functions."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sisy.execution.run_handle import RunHandle
from sisy.runtime import current, tracer

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

Observer = Callable[["RunRecord"], None]

_observers: list[Observer] = []
_last_steps: list[Callable[[], None]] = []


def enter(handle: RunHandle) -> None:
    """Make the current context that of a run, just before its function is called.

    Call it in a context of the run's own, for example a copy. An async function may be called in
    one context and awaited in another; then both are entered.
    """
    current.variable.set(handle.current)
    handle.enter_span()
    for observe in _observers:
        observe(handle.run)


def observe_calls(observer: Observer) -> None:
    """Call ``observer`` with each run in its context, in the process that calls the function.

    The observer must be fast, and must not raise. It may set context variables.
    """
    if observer not in _observers:
        _observers.append(observer)


def before_exit(step: Callable[[], None]) -> None:
    """Call ``step`` before a child process exits. It must not raise, and has a second or two."""
    # Children skip what is registered with atexit, which could wait for threads of functions.
    if step not in _last_steps:
        _last_steps.append(step)


def take_last_steps() -> None:
    """Do what must be done before this child process exits."""
    if tracer.installed is not None:
        tracer.installed.flush()
    for step in _last_steps:
        step()
