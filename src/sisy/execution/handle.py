"""A child process as its worker sees it: begun, given runs, asked to end, killed."""

import multiprocessing
import pickle
import signal
import threading
import time
from multiprocessing import connection, resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.process import _children as children  # type: ignore[attr-defined]
from typing import Any

from sisy import bootstrap
from sisy.exceptions import RunTimedOut, SisyError
from sisy.execution import outcome
from sisy.execution.going import Going
from sisy.execution.orders import Cancel, CarryOut, Done, Leave
from sisy.execution.outcome import Outcome
from sisy.log import signal_name

TIME_TO_BEGIN = 60.0  # seconds
TIME_TO_GIVE_IN = 1.0  # seconds that a function has to end by itself once its time is up
TIME_TO_DIE = 5.0  # seconds until a process that was killed is gone, at the most


class NoChild(SisyError):
    """A child process could not begin; the message says why."""


class ChildDied(SisyError):
    """The child is gone, or was killed, before it has told how its run ended."""


class Handle:
    """A child process.

    One thread at a time carries out runs in it. `kill` and `wake` are callable from any thread.

    Raises:
        NoChild: it could not begin.
    """

    def __init__(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        self._woken, self._wake = context.Pipe(duplex=False)
        self._process = context.Process(  # type: ignore[attr-defined]
            target=bootstrap.begin, args=(theirs,), name="sisy-child"
        )
        self._polling = threading.Lock()
        self._is_spent = False
        self.runs = 0
        self.memory = 0
        try:
            _start(self._process)
        except Exception as error:
            raise NoChild(f"{type(error).__name__}: {error}") from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def is_of_use(self) -> bool:
        """Whether it can carry out another run."""
        # An idle child has nothing to say: what its pipe holds can only be its end.
        return not self._is_spent and self._exit_code() is None and not self._pipe.poll()

    def begin(self) -> None:
        """Wait until it can carry out runs.

        Raises:
            NoChild: it cannot.
        """
        try:
            why = self._receive(time.monotonic() + TIME_TO_BEGIN)
        except ChildDied:
            why = self.how_it_died()
        except TimeoutError:
            why = f"it did not begin within {TIME_TO_BEGIN:g} s"
        if why:
            self.kill()
            raise NoChild(str(why))

    def carry_out(self, going: Going) -> Outcome:
        """Return how a run ended; that of a child that was killed, or died, too."""
        run = pickle.dumps(going.run)
        going.ends_by(self._end)
        try:
            if going.cancel_reason is not None:
                return going.was_cancelled()
            self.runs += 1
            return self._carry_out(run, going)
        except ChildDied:
            if going.is_forced:
                return going.was_cancelled()
            return going.ended(outcome.of_loss(self.how_it_died()))
        except BaseException:
            self.kill()  # what it says later would be taken for the end of another run
            raise
        finally:
            going.ends_by(None)

    def leave(self) -> None:
        """Let it go, since it carries out no run."""
        try:
            self._pipe.send(Leave())
        except OSError:
            return
        finally:
            self._pipe.close()

    def kill(self) -> None:
        """Kill it, and what its function has started."""
        self._is_spent = True
        if self._exit_code() is None:
            bootstrap.kill_group(self.pid)
            self._process.kill()

    def has_ended(self, within: float = 0.0) -> bool:
        """Wait for its end, for so many seconds at most, and return whether it has come."""
        connection.wait([self._process.sentinel], within)
        return self._exit_code() is not None

    def how_it_died(self) -> str:
        """Wait for its death, and say what it died of."""
        self._is_spent = True
        if not self.has_ended(TIME_TO_DIE):
            self.kill()
            return "Its process closed its pipe"
        bootstrap.kill_group(self.pid)  # what its function has started would go on
        code = self._exit_code() or 0
        if code < 0:
            return f"Its process was killed by {signal_name(-code)}"
        return f"Its process ended with exit code {code}"

    def _exit_code(self) -> int | None:
        with self._polling:  # of two threads that poll at once, one would read nothing
            code: int | None = self._process.exitcode
        return code

    def _carry_out(self, run: bytes, going: Going) -> Outcome:
        self._send(CarryOut(run, going.begin()))
        timeout = going.current.timeout
        deadline = None
        if timeout is not None:
            deadline = time.monotonic() + timeout.total_seconds() + TIME_TO_GIVE_IN
        while True:
            try:
                word = self._receive(deadline)
            except TimeoutError:
                self.kill()
                return self._outcome_of_killed(going)
            if isinstance(word, Done):
                self.memory = word.memory
                return word.outcome
            if going.cancel_reason is not None:
                self._send(Cancel(going.run.pk, going.cancel_reason))

    def _outcome_of_killed(self, going: Going) -> Outcome:
        """It may have ended just before it was killed."""
        limit = going.current.timeout
        try:
            while not isinstance(word := self._receive(None), Done):
                pass
        except ChildDied:
            error = RunTimedOut(f"The run took longer than the {limit} it has; it was killed.")
            return going.raised(error)
        return word.outcome

    def _end(self, by_force: bool) -> None:
        if by_force:
            self.kill()
        else:
            self._wake.send(None)

    def _send(self, order: Any) -> None:
        try:
            self._pipe.send(order)
        except OSError as error:
            raise ChildDied from error

    def _receive(self, deadline: float | None) -> Any:
        """Return what it says; None if `wake` was called.

        Raises:
            TimeoutError: it has said nothing until the deadline.
            ChildDied: it will say no more.
        """
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = connection.wait([self._pipe, self._woken, self._process.sentinel], seconds)
        if not ready:
            raise TimeoutError
        if self._pipe in ready or self._pipe.poll():
            try:
                return self._pipe.recv()
            except (EOFError, OSError) as error:
                raise ChildDied from error
        if self._woken in ready:
            return self._woken.recv()
        raise ChildDied


def _context() -> BaseContext:
    try:
        context = multiprocessing.get_context("forkserver")
    except ValueError:
        return multiprocessing.get_context("spawn")
    context.set_forkserver_preload(["__main__", "sisy.preload"])
    return context


_starting = threading.Lock()


def _start(process: Any) -> None:
    """Start it with INT and TERM blocked, until it has learnt to leave them to the worker.

    It is not entered among the children of multiprocessing, which would poll it from any thread,
    and wait for it when the interpreter ends.

    The fork server, which is started with the first child, leaves them blocked: it must not end
    at a TERM that a whole group of processes gets, since its children end with it.
    """
    with _starting:
        resource_tracker.ensure_running()  # it unblocks both, when it starts
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
        try:
            process.start()
            children.discard(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
