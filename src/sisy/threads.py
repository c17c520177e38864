"""Threads for blocking work; none of them keeps the process from ending.

Whatever work raises, its thread continues. Otherwise a slot, or all that waits for a loop, would
be lost with the thread.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from django.db import connections

from sisy.foreign_errors import name_of
from sisy.log import logger

TIME_TO_END = 0.5  # seconds that an idle thread has to close its connections

P = ParamSpec("P")
T = TypeVar("T")

Escaped = Callable[[asyncio.AbstractEventLoop, BaseException], object]
"""Hears, in the thread of a loop, of an error that left it."""


class DaemonThreads(Executor):
    """A bounded pool of daemon threads.

    The standard library's pool is joined when the interpreter ends: a task function that hangs
    would then hang the worker, which has long handed its run back.

    Args:
        begin: is called in each thread before its first work.
    """

    def __init__(self, size: int, name: str, begin: Callable[[], None] | None = None) -> None:
        self._size = size
        self._name = name
        self._begin = begin
        self._work: deque[Callable[[], None] | None] = deque()
        self._ready: SimpleQueue[None] = SimpleQueue()  # one for each of the work, at least
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._lock = threading.Lock()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        self.start(partial(self._fulfil, future, partial(fn, *args, **kwargs)))
        return future

    def start(self, work: Callable[[], None]) -> None:
        """Call ``work`` in a thread; it must not raise, and call `release` when it is done.

        If the system gives no further thread, it waits for one of those that are there.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        with self._lock:
            if len(self._threads) < min(self._unfinished + 1, self._size):
                self._add_thread_or_do_without()
            self._unfinished += 1
            self._put(work)

    def warm_up(self) -> None:
        """Have one thread at least.

        Raises:
            RuntimeError: none can be started.
        """
        with self._lock:
            if not self._threads:
                self._add_thread()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End each thread after the work it has in hand; with ``wait``, until they have ended."""
        with self._lock:
            for _ in self._threads:
                self._put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def join(self, seconds: float) -> None:
        """Wait, for so long at most, for the threads to end; call it after `shutdown`.

        It blocks, since no other thread can be asked to wait when the interpreter ends already.
        """
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
        self._ready.put(None)

    def _next(self) -> Callable[[], None] | None:
        """Wait for work, and take it; None: there will be no more.

        Some libraries end what takes too long by an error that they raise in its thread from
        another one. If that comes late, it is raised here, when the wait is over: no work may be
        lost then, so that what is waited for is not yet the work itself.
        """
        while True:
            try:
                self._ready.get()
                return self._work.popleft()
            except IndexError:  # what was ready has been taken after an interrupted wait
                continue
            except BaseException:  # noqa: BLE001 - see above
                self._ready.put(None)
                logger.exception(
                    "An error was reported late to thread %s, which continues", self._name
                )

    def _fulfil(self, future: Future[T], work: Callable[[], T]) -> None:
        """Give ``future`` what ``work`` does; before that, count this thread as free again."""
        if not future.set_running_or_notify_cancel():
            self.release()
            return
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            self.release()
            future.set_exception(error)
        else:
            self.release()
            future.set_result(result)

    def release(self) -> None:
        """Count the calling thread as free, so that what follows from its work begins no other."""
        with self._lock:
            self._unfinished -= 1


def log_escape(loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
    """Log an error that left a task or a callback, and with it the loop."""
    name = threading.current_thread().name
    logger.error(
        "An asyncio task or callback of %s raised %s; the event loop continues",
        name,
        name_of(error),
        exc_info=error,
    )


class LoopThread:
    """A daemon thread with an event loop of its own, which others give coroutines to run.

    Args:
        escaped: called with an error that left the loop; by default, it is logged.
        executor: for what the loop's coroutines hand to threads; by default asyncio's own.
    """

    def __init__(
        self,
        name: str,
        escaped: Escaped = log_escape,
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
        """Run ``coroutine`` in the loop; callable from any thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self, seconds: float) -> None:
        """Cancel all that goes on, and wait for its end, for so long at most."""
        ending = self._end()
        try:
            asyncio.run_coroutine_threadsafe(ending, self.loop)
        except RuntimeError:  # it has ended
            ending.close()
        self._thread.join(seconds)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        # Entered again and again: a task function may stop the loop, and asyncio lets SystemExit
        # and KeyboardInterrupt out of it, from any task or callback. What else was ready to run
        # still is then.
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
            logger.exception("Could not report an error that left an event loop")

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._has_ended = True
        self.loop.stop()


class LoopOnDemand:
    """An event loop in a thread of its own, which both begin when something of it is used.

    A loop takes three file descriptors: too many for threads that seldom need one.

    Args:
        options: as for `LoopThread`.
    """

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
        """Cancel all that goes on, and wait for its end, for so long at most."""
        if self._thread is not None:
            self._thread.close(seconds)
