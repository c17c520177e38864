"""A child process as its worker sees it: begun, given runs, asked to end, killed."""

import pickle
import threading
import time
from ctypes import c_uint64
from multiprocessing import connection
from multiprocessing.context import BaseContext
from typing import Any

from sisy import bootstrap
from sisy.exceptions import RunTimedOut, SisyError
from sisy.execution import outcome
from sisy.execution.child_protocol import CANNOT_TELL, Cancel, CarryOut, Done, Leave
from sisy.execution.outcome import Outcome
from sisy.execution.pool import NotReady
from sisy.execution.run_handle import RunHandle
from sisy.execution.spawning import context, start_masked
from sisy.frames import Reader, Writer
from sisy.log import signal_name

TIME_TO_BEGIN = 60.0  # seconds
TIME_TO_GIVE_IN = 1.0  # seconds that a function has to end by itself once its time is up
TIME_TO_DIE = 5.0  # seconds until a process that was killed is gone, at the most
TIME_TO_TAKE = 30.0  # seconds that a child has to take an order in hand
LOOK_INTERVAL = 0.5  # seconds between two looks whether it has


class NoChild(NotReady):
    """No child process could start, or none took a run in hand; the message says why."""


class ChildDied(SisyError):
    """The child is gone, or was killed, before it has told how its run ended."""


class ChildProcess:
    """A child process.

    One thread at a time carries out runs in it. `kill` and `wake` are callable from any thread.

    A number in shared memory says which order the child has taken in hand last. A pipe could not
    say so: it is closed by some functions, and can end with the child before it is read.

    Raises:
        NoChild: it could not begin.
    """

    def __init__(self) -> None:
        self._polling = threading.Lock()
        self._is_spent = False
        self._why_killed = ""
        self.runs = 0
        self.memory = 0
        try:
            self._start(context())
        except Exception as error:  # the system gives no further file, memory or process
            raise _no_child(f"{type(error).__name__}: {error}") from error

    def _start(self, context: BaseContext) -> None:
        self._pipe, theirs = context.Pipe()
        with theirs:
            self._woken, self._wake = context.Pipe(duplex=False)
            self._reader, self._writer = Reader(self._pipe), Writer(self._pipe)
            self._taken = context.RawValue(c_uint64)
            self._process = context.Process(  # type: ignore[attr-defined]
                target=bootstrap.begin, args=(theirs, self._taken), name="sisy-child"
            )
            start_masked(self._process)

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def is_of_use(self) -> bool:
        """Return whether it can carry out another run."""
        # An idle child has nothing to say: what its pipe holds can only be its end.
        has_said_something = not self._reader.is_empty or self._pipe.poll()
        return not self._is_spent and self._exit_code() is None and not has_said_something

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
            why = f"it did not start within {TIME_TO_BEGIN:g} s"
        if why:
            self.kill()
            raise _no_child(why)

    def carry_out(self, going: RunHandle) -> Outcome:
        """Return how a run ended; that of a child that was killed, or died, too.

        Raises:
            NoChild: the child ended, or was killed, before it took the run in hand.
        """
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
            how = self.how_it_died()
            if not self._has_taken:
                raise NoChild(f"{how} before it started the run") from None
            return going.ended(outcome.of_loss(how))
        except BaseException:
            self.kill()  # what it says later would be taken for the end of another run
            raise
        finally:
            going.ends_by(None)

    def leave(self) -> None:
        """Let it go, since it carries out no run."""
        try:
            self._writer.send(Leave(), within=0.0)
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
            return self._why_killed or "Its process closed its pipe"
        bootstrap.kill_group(self.pid)  # what its function has started would go on
        if self._why_killed:
            return self._why_killed
        code = self._exit_code() or 0
        if code == CANNOT_TELL:
            return "Its process lost the connection to its worker and could not report the result"
        if code < 0:
            return f"Its process was killed by {signal_name(-code)}"
        return f"Its process exited with code {code}"

    def _exit_code(self) -> int | None:
        with self._polling:  # of two threads that poll at once, one would read nothing
            code: int | None = self._process.exitcode
        return code

    def _carry_out(self, run: bytes, going: RunHandle) -> Outcome:
        limit = going.current.timeout
        patience = _Patience(None if limit is None else limit.total_seconds() + TIME_TO_GIVE_IN)
        self._send(CarryOut(self.runs, run, going.begin()))
        while True:
            try:
                word = self._receive(patience.deadline)
            except TimeoutError:
                if patience.is_over(self._has_taken):
                    return self._outcome_of_killed(going)
                continue
            if isinstance(word, Done):
                self.memory = word.memory
                return word.outcome
            if going.cancel_reason is not None:
                self._send(Cancel(going.run.pk, going.cancel_reason))

    @property
    def _has_taken(self) -> bool:
        """Return whether it has taken the last order in hand."""
        return bool(self._taken.value == self.runs)

    def _outcome_of_killed(self, going: RunHandle) -> Outcome:
        """Kill it, and return how its run ended: perhaps just before that."""
        self.kill()
        if not self._has_taken:
            self._why_killed = f"Its process did not respond for {TIME_TO_TAKE:g} s"
            raise ChildDied
        try:
            while not isinstance(word := self._receive(time.monotonic() + TIME_TO_DIE), Done):
                pass
        except (ChildDied, TimeoutError):
            limit = going.current.timeout
            error = RunTimedOut(f"The run exceeded its timeout of {limit} and was killed.")
            return going.raised(error)
        return word.outcome

    def _end(self, by_force: bool) -> None:
        if by_force:
            self.kill()
        else:
            self._wake.send(None)

    def _send(self, order: Any) -> None:
        try:
            self._writer.send(order, within=TIME_TO_TAKE)
        except TimeoutError as error:
            self._why_killed = f"Its process did not respond for {TIME_TO_TAKE:g} s"
            self.kill()
            raise ChildDied from error
        except OSError as error:
            raise ChildDied from error

    def _receive(self, deadline: float | None) -> Any:
        """Return what it says; None if `wake` was called.

        Raises:
            TimeoutError: it has said nothing until the deadline.
            ChildDied: it will say no more.
        """
        while True:
            if (word := self._word()) is not None:
                return word
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

    def _word(self) -> Any:
        try:
            return self._reader.word()
        except Exception as error:  # what comes over the pipe may be anything
            self._why_killed = "Its process wrote invalid data to the pipe to its worker"
            self.kill()
            raise ChildDied from error


class _Patience:
    """The time to wait for a child.

    The time of a run begins when the child has taken it in hand, which nobody is woken for: it is
    looked at when the time would be over.

    Args:
        limit: seconds that the run may take.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._began = self._begins = time.monotonic()
        self._was_taken = False
        self.deadline: float | None = self._began + min(limit or TIME_TO_TAKE, TIME_TO_TAKE)

    def is_over(self, has_taken: bool) -> bool:
        """Say, at the deadline, whether to wait no more; else there is a new deadline."""
        now = time.monotonic()
        if self._was_taken or (not has_taken and now >= self._began + TIME_TO_TAKE):
            return True
        self._was_taken = has_taken
        if not has_taken:
            self._begins = now
            self.deadline = now + LOOK_INTERVAL
        else:
            self.deadline = None if self._limit is None else self._begins + self._limit
        return False


def _no_child(why: object) -> NoChild:
    return NoChild(f"Could not start a child process: {why}")
