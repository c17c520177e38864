"""Threads for blocking work that do not keep the process from exiting.

`DaemonThreads` is a pool of threads, `LoopThread` an event loop in a thread of its own. A thread
survives whatever its work raises. Otherwise a slot, or everything that waits for an event loop,
would be lost with the thread.

`DaemonThreads` starts a thread when there is more work than threads, up to its size if it has one.
A piece of work occupies a thread from `start` until it calls `release`, shortly before it ends:
the caller may react to the result with the next piece of work at once, and that must not start a
thread that is not needed. Two hazards decide how work gets to a thread:

- **Late errors.** Some libraries end a slow function by raising an error in its thread from
  another thread. Python raises it at the next bytecode, so it may hit the pool's own code, after
  the function has returned. An error that hits between taking work from a queue and calling it
  would lose the work. So there are two queues. A thread waits for a token in one, and only then
  takes work from the other, in one step. If the wait is interrupted, the thread puts a token back.
  There may then be more tokens than work, and a thread that finds no work waits again.
- **No more threads.** The system may refuse to start a thread. Work then waits for a thread that
  exists. If there is none, `start` raises, and the pool reports that it did not call the function.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from django.db import connections

from sisy.runtime.log import logger
from sisy.runtime.user_errors import name_of

THREAD_END_TIMEOUT = 0.5  # seconds for an idle thread to close its connections

P = ParamSpec("P")
T = TypeVar("T")

OnEscape = Callable[[asyncio.AbstractEventLoop, BaseException], object]
"""Called in the thread of an event loop, with an error that left the loop."""


class DaemonThreads(Executor):
    """A pool of daemon threads.

    Args:
        size: the maximum number of threads. By default, there are as many as there is work at the
            same time, which the caller limits.
        begin: called in each thread before its first work.
    """

    # Not the pool of the standard library, which is joined when the interpreter exits: a function
    # that hangs would then hang the worker, although its run was released long before.
    def __init__(
        self, name: str, size: float = math.inf, begin: Callable[[], None] | None = None
    ) -> None:
        self._size = size
        self._name = name
        self._begin = begin
        self._work: deque[Callable[[], None] | None] = deque()
        # At least one for each piece of work; see the module's docstring.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self.start(partial(self._fulfil, future, partial(fn, *args, **kwargs)))
        return future

    def start(self, work: Callable[[], None]) -> None:
        """Call ``work`` in a thread. It must not raise, and must call `release` when it is done.

        If no further thread can be started, the work waits for an existing one.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        with self._lock:
            if len(self._threads) < min(self._unfinished + 1, self._size):
                self._add_thread_or_do_without()
            self._unfinished += 1
            self._put(work)

    def warm_up(self) -> None:
        """Start a thread if there is none.

        Raises:
            RuntimeError: no thread can be started.
        """
        with self._lock:
            if not self._threads:
                self._add_thread()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End each thread after its current work. With ``wait``, wait for that."""
        with self._lock:
            for _ in self._threads:
                self._put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def join(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the threads to end. Call it after `shutdown`. Blocks."""
        # It is not async, because no thread can be started to wait when the interpreter exits.
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _add_thread(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _add_thread_or_do_without(self) -> None:
        try:
            self._add_thread()
        except RuntimeError:
            if not self._threads:
                raise

    def _serve(self) -> None:
        if self._begin is not None:
            self._begin()
        while (work := self._next()) is not None:
            try:
                work()
            except BaseException:  # noqa: BLE001 - the border around work
                logger.exception("Work in thread %s failed; the thread continues", self._name)
            del work
        connections.close_all()

    def _put(self, work: Callable[[], None] | None) -> None:
        self._work.append(work)
        self._tokens.put(None)

    def _next(self) -> Callable[[], None] | None:
        """Wait for work and return it; None if there will be no more."""
        # A late error is raised here; see the module's docstring.
        while True:
            try:
                self._tokens.get()
                return self._work.popleft()
            except IndexError:  # an interrupted wait has put back one token too many
                continue
            except BaseException:  # noqa: BLE001 - see above
                self._tokens.put(None)
                logger.exception(
                    "An error was raised in thread %s after its work had ended; the thread "
                    "continues",
                    self._name,
                )

    def _fulfil(self, future: Future[T], work: Callable[[], T]) -> None:
        """Set the result of ``work`` on ``future``."""
        # Release this thread first, so that a caller that continues immediately reuses it.
        if not future.set_running_or_notify_cancel():
            self.release()
            return
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised where the future is awaited
            self.release()
            future.set_exception(error)
        else:
            self.release()
            future.set_result(result)

    def release(self) -> None:
        """Count the calling thread as free. Its work must be nearly done."""
        with self._lock:
            self._unfinished -= 1


def log_escape(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """Log an error of a task or callback that has left the event loop."""
    name = threading.current_thread().name
    logger.error(
        "An asyncio task or callback of %s raised %s; the event loop continues",
        name,
        name_of(error),
        exc_info=error,
    )


class LoopThread:
    """A daemon thread with an event loop that runs coroutines for other threads.

    Args:
        escaped: called with an error that left the loop; by default, the error is logged.
        executor: the loop's default executor; by default asyncio's own.
    """

    def __init__(
        self,
        name: str,
        escaped: OnEscape = log_escape,
        executor: ThreadPoolExecutor | None = None,
    ) -> None:
        self.loop = asyncio.new_event_loop()
        if executor is not None:
            self.loop.set_default_executor(executor)
        self._escaped = escaped
        self._has_ended = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``coroutine`` in the loop. Thread-safe."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self, seconds: float) -> None:
        """Cancel all tasks, and wait at most ``seconds`` for the thread to end."""
        ending = self._end()
        try:
            asyncio.run_coroutine_threadsafe(ending, self.loop)
        except RuntimeError:  # it has ended
            ending.close()
        self.join(seconds)

    def join(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the thread to end. Call it after `close`."""
        self._thread.join(seconds)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        # Enter the loop again after each exit: a task function may stop it, and SystemExit and
        # KeyboardInterrupt from any task or callback leave it. Everything else that was ready to
        # run is still ready then.
        while not self._has_ended and not self.loop.is_closed():
            try:
                self.loop.run_forever()
            except BaseException as error:  # noqa: BLE001 - the border around user code
                self._contain(error)
        self.loop.close()

    def _contain(self, error: BaseException) -> None:
        try:
            self._escaped(self.loop, error)
        except BaseException:  # noqa: BLE001 - the loop must continue
            logger.exception("Could not report an error that escaped from an event loop")

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._has_ended = True
        self.loop.stop()


class LoopOnDemand:
    """An event loop in a thread of its own. Both start when an attribute of the loop is used.

    Args:
        options: the options of `LoopThread`.
    """

    # A loop takes three file descriptors, too many for threads that rarely need one.
    def __init__(self, name: str, **options: Any) -> None:
        self._name = name
        self._options = options
        self._thread: LoopThread | None = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._thread is None:
                self._thread = LoopThread(self._name, **self._options)
        return getattr(self._thread.loop, name)

    def close(self, seconds: float) -> None:
        """Cancel all tasks, and wait at most ``seconds`` for the thread to end."""
        if self._thread is not None:
            self._thread.close(seconds)

    def join(self, seconds: float) -> None:
        """Wait at most ``seconds`` for the thread to end. Call it after `close`."""
        if self._thread is not None:
            self._thread.join(seconds)
