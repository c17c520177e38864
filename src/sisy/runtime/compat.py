"""The private APIs of other packages that Sisy uses, and what differs between systems.

No other module uses an undocumented name. `tests/unit/test_compat.py` says in which versions each
of them was read.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from multiprocessing.process import _children as children  # type: ignore[attr-defined]
from types import FrameType
from typing import Any, Generic, TypeVar

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.db.models.fields.related_descriptors import ForwardManyToOneDescriptor
from django.db.transaction import Atomic
from django.dispatch import Signal
from django.http import QueryDict

Receiver = Callable[..., Any]
M = TypeVar("M", bound=Model)
Q = TypeVar("Q", bound=QuerySet[Any])

CAN_FORK = hasattr(os, "fork")
"""True if the system supports a pool of processes, and several workers of one command."""

RUN_OF_A_HANDLE = asyncio.Handle._run.__code__
CLOSING_OF_A_GENERATOR = "async_generator_athrow"


def forget_child(process: BaseProcess) -> None:
    """Stop multiprocessing from polling a child in any thread, and from waiting for it at exit."""
    children.discard(process)


def let_go_of_fork_server() -> None:
    """Close this child's end of the pipe that keeps the fork server alive."""
    server: Any = forkserver._forkserver
    alive = getattr(server, "_forkserver_alive_fd", None)
    if alive is not None:
        server._forkserver_alive_fd = None
        os.close(alive)


def handle_of(frame: FrameType) -> asyncio.Handle | None:
    """Return the callback that an event loop calls in this frame; None if it calls none there."""
    return frame.f_locals["self"] if frame.f_code is RUN_OF_A_HANDLE else None


def context_value(handle: asyncio.Handle, variable: Any) -> Any:
    """Return the value of a context variable for a callback; None if it is not set there."""
    return handle._context.get(variable)  # type: ignore[attr-defined]


def closes_a_generator(handle: asyncio.Handle) -> bool:
    """Return whether a callback is a step of closing an async generator that was collected."""
    task = getattr(getattr(handle, "_callback", None), "__self__", None)
    if not isinstance(task, asyncio.Task):
        return False
    return type(task.get_coro()).__name__ == CLOSING_OF_A_GENERATOR


PassOn = Callable[[], None]
RecordWatcher = Callable[[logging.LogRecord, PassOn], None]

_record_watchers: list[RecordWatcher] = []


def watch_log_records(watcher: RecordWatcher) -> None:
    """Call ``watcher`` with each record that its logger passes to handlers, and with that step."""
    # A handler of the root logger would miss the loggers that do not propagate, silence the
    # handler of last resort, and make basicConfig() do nothing.
    if not _record_watchers:
        logger: Any = logging.Logger
        # As it is now: others replace it, too, such as Sentry's SDK.
        logger.callHandlers = _with_watchers(logger.callHandlers)
    if watcher not in _record_watchers:
        _record_watchers.append(watcher)


def _with_watchers(call_handlers: Callable[..., None]) -> Callable[..., None]:
    def call(logger: logging.Logger, record: logging.LogRecord) -> None:
        pass_on: PassOn = partial(call_handlers, logger, record)
        for watcher in _record_watchers:
            pass_on = partial(watcher, record, pass_on)
        pass_on()

    return call


def lend_loop(loop: Any) -> None:
    """Let the calling thread's calls of ``async_to_sync`` run in ``loop``.

    Args:
        loop: an event loop, or an object that acts as one.
    """
    # ``sync_to_async`` uses these attributes to tell its threads which loop has called them.
    SyncToAsync.threadlocal.main_event_loop = loop
    SyncToAsync.threadlocal.main_event_loop_pid = os.getpid()


def is_called_by_async_to_sync(task: "asyncio.Task[Any]") -> bool:
    """Return whether a thread waits for this task in ``async_to_sync``."""
    return getattr(task.get_coro(), "cr_code", None) is AsyncToSync.main_wrap.__code__


def enter_thread_context(context: ThreadSensitiveContext) -> None:
    """Use a separate thread for the calls of ``sync_to_async`` in the current context."""
    SyncToAsync.thread_sensitive_context.set(context)


def take_thread_of(context: ThreadSensitiveContext) -> Executor | None:
    """Return the executor of a context's thread; None if none was used. The caller must end it."""
    return SyncToAsync.context_to_thread_executor.pop(context, None)


class InterceptingSignal(Signal):
    """A signal that can replace what is called for its receivers."""

    def to_call(self, receiver: Receiver, *, is_async: bool) -> Receiver:
        """Return the function to call instead of ``receiver``."""
        return receiver

    def _live_receivers(self, sender: object) -> tuple[list[Receiver], list[Receiver]]:
        plain, asynchronous = super()._live_receivers(sender)
        return (
            [self.to_call(one, is_async=False) for one in plain],
            [self.to_call(one, is_async=True) for one in asynchronous],
        )


def thread_of(connection: BaseDatabaseWrapper) -> int:
    """Return the identifier of the thread that made a connection."""
    ident: int = connection._thread_ident  # type: ignore[attr-defined]
    return ident


def is_of_a_test_case(block: Atomic) -> bool:
    """Return whether Django's test case has opened this block around a test."""
    return bool(block._from_testcase)  # type: ignore[attr-defined]


def is_in_a_test_run() -> bool:
    """Return whether this process runs a project's tests: Django's runner, or pytest-django."""
    # setup_test_environment() stores there what teardown_test_environment() restores. Not the
    # existence of ``mail.outbox``: outside of tests, the backend "locmem" creates it, too.
    utils = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")


def for_write(rows: Q) -> Q:
    """Return a query that reads from the database to which its rows are written."""
    rows = rows.all()
    rows._for_write = True  # type: ignore[attr-defined]
    return rows.using(rows.db)


def can_delete_bare(rows: QuerySet[Any]) -> bool:
    """Return whether Django would delete these rows by one statement, without signals."""
    return bool(Collector(using=rows.db).can_fast_delete(rows))


def delete_bare(rows: QuerySet[Any]) -> int:
    """Delete rows with one statement, without signals. Rows that refer to them stay."""
    count: int = rows._raw_delete(rows.db)
    return count


class RelatedOrNone(ForwardManyToOneDescriptor):  # type: ignore[type-arg]
    """The attribute of a foreign key that is None if the row to which the key leads is gone."""

    # Django 5.2 calls it from `__get__`, and Django 6.1 from `fetch_one`. Whatever else fetches
    # related rows (joins and prefetches) already sets None for those that it does not find.
    def get_object(self, instance: Model) -> Any:
        try:
            return super().get_object(instance)
        except self.field.remote_field.model.DoesNotExist:
            return None


def actions_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the options and arguments of a parser, in order."""
    return parser._actions


def property_names(model: type[Model]) -> frozenset[str]:
    """Return the names of a model's properties, which ``Model()`` also accepts."""
    names: frozenset[str] = model._meta._property_names  # type: ignore[attr-defined]
    return names


def sealed(query: QueryDict) -> QueryDict:
    """Make ``query`` immutable, and return it."""
    query._mutable = False
    return query


@dataclass(frozen=True, slots=True)
class Selection(Generic[M]):
    """A model's columns as Django selects them, and a way to create records from their rows.

    Attributes:
        columns: the list of columns, as SQL.
        names: the attributes of a record that hold them.
    """

    columns: str
    names: list[str]
    _compiler: Any
    _converters: dict[int, Any]

    @staticmethod
    def of(model: type[M], using: str, defer: frozenset[str]) -> "Selection[M]":
        """Return the selection of a model's columns, without the deferred ones."""
        return _selection(model, using, defer, connections[using].vendor, settings.USE_TZ)

    def converted(self, rows: list[tuple[Any, ...]]) -> Iterable[Any]:
        """Return the values of rows as the model has them."""
        # Django's method calls the converters of empty columns as well, which most are.
        connection = self._compiler.connection
        for row in map(list, rows):
            for place, (converters, expression) in self._converters.items():
                if row[place] is not None:
                    for convert in converters:
                        row[place] = convert(row[place], expression, connection)
            yield row


# Without the cache, Django takes ten times as long to compile the list as the database to answer.
@lru_cache(maxsize=64)
def _selection(
    model: type[M], using: str, defer: frozenset[str], vendor: str, use_tz: bool
) -> Selection[M]:
    compiler = model._default_manager.using(using).defer(*defer).query.get_compiler(using)
    compiler.pre_sql_setup()
    selected = [(column, sql) for column, (sql, _), _ in compiler.select]
    return Selection(
        columns=", ".join(sql for _, sql in selected),
        names=[column.target.attname for column, _ in selected],
        _compiler=compiler,
        _converters=compiler.get_converters([column for column, _ in selected]),
    )


def after_fork_in_child(reset: Callable[[], None]) -> None:
    """Call ``reset`` in each process that is forked from this one. No effect on Windows."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
