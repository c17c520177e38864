"""A child process, as its worker sees it: start it, send it runs, cancel them, kill it."""

import pickle
import threading
import time
from ctypes import c_uint64
from datetime import timedelta
from multiprocessing import connection
from multiprocessing.context import BaseContext
from typing import Any, NoReturn

from sisy.exceptions import RunTimedOut, SisyError
from sisy.execution import child_start, run_deadline
from sisy.execution.child_protocol import (
    EXIT_CANNOT_REPORT,
    Cancel,
    Done,
    Execute,
    Exit,
    Reader,
    ReportSoFar,
    Writer,
)
from sisy.execution.child_start import context, start_masked
from sisy.execution.pool import NotReady
from sisy.execution.run_deadline import RunDeadline
from sisy.execution.run_handle import RunHandle
from sisy.records.outcome import Outcome
from sisy.runtime.durations import duration_text
from sisy.runtime.log import signal_name

START_TIMEOUT = 60.0  # seconds for a child to start
TIMEOUT_GRACE = 1.0  # seconds for a function to end by itself after its timeout
KILL_TIMEOUT = 5.0  # seconds to wait for the end of a killed process


class NoChild(NotReady):
    """No child process could start or accept a run. The message says why."""


class ChildDied(SisyError):
    """The child died or was killed before it reported the outcome of its run."""


class ChildProcess:
    """A child process that executes one run at a time.

    Only `kill` and cancelling are thread-safe; use everything else from one thread at a time.

    Raises:
        NoChild: the process could not be started.
    """

    # A number in shared memory says which order the child has accepted last. A pipe cannot: some
    # functions close it, and it may be lost with the child before it is read.
    def __init__(self) -> None:
        self._polling = threading.Lock()
        self._is_spent = False
        self._why_killed = ""
        self.runs = 0
        self.memory = 0
        try:
            self._start(context())
        except Exception as error:  # no more files, memory or processes
            raise _no_child(f"{type(error).__name__}: {error}") from error

    def _start(self, context: BaseContext) -> None:
        self._pipe, theirs = context.Pipe()
        with theirs:
            self._woken, self._wake = context.Pipe(duplex=False)
            self._reader, self._writer = Reader(self._pipe), Writer(self._pipe)
            self._accepted_order = context.RawValue(c_uint64)
            self._process = context.Process(  # type: ignore[attr-defined]
                target=child_start.begin, args=(theirs, self._accepted_order), name="sisy-child"
            )
            start_masked(self._process)

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def is_usable(self) -> bool:
        """True if the child can execute another run."""
        # An idle child sends nothing. If its pipe is readable, the child has died.
        has_output = not self._reader.is_empty or self._pipe.poll()
        return not self._is_spent and self._exit_code() is None and not has_output

    def begin(self) -> None:
        """Wait until the child is ready.

        Raises:
            NoChild: the child failed to start.
        """
        try:
            why = self._receive(time.monotonic() + START_TIMEOUT)
        except ChildDied:
            why = self.how_it_died().replace("Its process", "it", 1)
        except TimeoutError:
            why = f"it did not start within {START_TIMEOUT:g} s"
        if why:
            self.kill()
            raise _no_child(why)

    def execute(self, handle: RunHandle) -> Outcome:
        """Execute a run and return its outcome, even if the child dies or is killed.

        Raises:
            NoChild: the child died or was killed before it accepted the run.
        """
        run = pickle.dumps(handle.run)
        handle.ends_by(self._end)
        try:
            if handle.cancel_reason is not None:
                return handle.was_cancelled()
            self.runs += 1
            return self._execute(run, handle)
        except ChildDied:
            if handle.is_forced:
                return handle.was_cancelled()
            how = self.how_it_died()
            # The run cannot be the cause, so it does not count as lost.
            if not self._has_accepted:
                raise NoChild(f"{how} before it started the run") from None
            return handle.was_lost(how)
        except BaseException:
            # Otherwise, its late answer would be taken for the outcome of the next run.
            self.kill()
            raise
        finally:
            handle.ends_by(None)

    def leave(self) -> None:
        """Dismiss the child. Call only while it executes no run."""
        try:
            self._writer.send(Exit(), within=0.0)
        except OSError:
            return
        finally:
            self._pipe.close()

    def kill(self) -> None:
        """Kill the child and everything that its function has started. Thread-safe."""
        self._is_spent = True
        if self._exit_code() is None:
            child_start.kill_group(self.pid)
            self._process.kill()

    def has_ended(self, within: float = 0.0) -> bool:
        """Wait up to ``within`` seconds for the child to exit. Return whether it has."""
        connection.wait([self._process.sentinel], within)
        return self._exit_code() is not None

    def how_it_died(self) -> str:
        """Wait for the child to exit, and return the cause without a full stop."""
        self._is_spent = True
        if not self.has_ended(KILL_TIMEOUT):
            self.kill()
            return self._why_killed or "Its process closed the pipe to its worker"
        # What its function has started would continue.
        child_start.kill_group(self.pid)
        if self._why_killed:
            return self._why_killed
        code = self._exit_code() or 0
        if code == EXIT_CANNOT_REPORT:
            return "Its process lost the connection to its worker and could not report the result"
        if code < 0:
            return f"Its process was killed by {signal_name(-code)}"
        return f"Its process exited with code {code}"

    def _exit_code(self) -> int | None:
        # If two threads poll at once, only one of them gets the exit code.
        with self._polling:
            code: int | None = self._process.exitcode
        return code

    def _execute(self, run: bytes, handle: RunHandle) -> Outcome:
        limit = handle.current.timeout
        deadline = RunDeadline(None if limit is None else limit.total_seconds() + TIMEOUT_GRACE)
        self._send(Execute(self.runs, run, handle.begin()))
        while True:
            try:
                message = self._receive(deadline.moment)
            except TimeoutError:
                if deadline.is_over(self._has_accepted):
                    return self._outcome_of_killed(handle)
                continue
            if isinstance(message, Done):
                self.memory = message.memory
                return message.outcome
            if isinstance(message, ReportSoFar):
                handle.journal.adopt(message.report)
            elif handle.cancel_reason is not None:
                self._send(Cancel(handle.run.pk, handle.cancel_reason))

    @property
    def _has_accepted(self) -> bool:
        """True if the child has accepted the last order."""
        return bool(self._accepted_order.value == self.runs)

    def _outcome_of_killed(self, handle: RunHandle) -> Outcome:
        """Kill the child after the timeout, and return the outcome of its run."""
        self.kill()
        if not self._has_accepted:
            self._give_up(_no_response())
        # The run may have finished just before the kill; then its outcome is in the pipe.
        try:
            while not isinstance(message := self._receive(time.monotonic() + KILL_TIMEOUT), Done):
                if isinstance(message, ReportSoFar):
                    handle.journal.adopt(message.report)
        except (ChildDied, TimeoutError):
            limit = duration_text(handle.current.timeout or timedelta(0))
            error = RunTimedOut(f"The run exceeded its timeout of {limit} and was killed.")
            return handle.raised(error)
        return message.outcome

    def _end(self, by_force: bool) -> None:
        if by_force:
            self.kill()
        else:
            self._wake.send(None)

    def _send(self, order: Any) -> None:
        try:
            self._writer.send(order, within=run_deadline.ACCEPT_TIMEOUT)
        except TimeoutError:
            self._give_up(_no_response())
        except OSError as error:
            raise ChildDied from error

    def _receive(self, deadline: float | None) -> Any:
        """Return the child's next message; None if another thread asked to cancel the run.

        Args:
            deadline: in seconds of the monotonic clock; None to wait forever.

        Raises:
            TimeoutError: there was no message until the deadline.
            ChildDied: there will be no more messages.
        """
        while True:
            if (message := self._next_message()) is not None:
                return message
            seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = connection.wait([self._pipe, self._woken, self._process.sentinel], seconds)
            if not ready:
                raise TimeoutError
            if self._pipe in ready or self._pipe.poll():
                try:
                    self._reader.read()
                except (EOFError, OSError) as error:
                    raise ChildDied from error
            elif self._woken in ready:
                return self._woken.recv()
            else:
                raise ChildDied

    def _next_message(self) -> Any:
        try:
            return self._reader.next_message()
        except Exception:  # noqa: BLE001 - the function may have written anything to the pipe
            self._give_up("Its process wrote invalid data to the pipe to its worker")

    def _give_up(self, why: str) -> NoReturn:
        self._why_killed = why
        self.kill()
        raise ChildDied


def _no_child(why: object) -> NoChild:
    return NoChild(f"Could not start a child process: {why}")


def _no_response() -> str:
    return f"Its process did not respond for {run_deadline.ACCEPT_TIMEOUT:g} s"
