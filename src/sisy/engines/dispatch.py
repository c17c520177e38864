"""Send runs to other engines: backends of ``django.tasks`` such as Celery or RQ.

The message to an engine is only the key of a run. It may be lost, delayed or delivered twice.
The worker that receives it first claims the run in the ledger, so a duplicate finds nothing to do.
A run that was not claimed within `dispatch_lease` is sent again.
"""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q
from django.utils.module_loading import import_string

from sisy import clock, conf
from sisy.lifecycle.reject import reject_unknown_engines
from sisy.messaging import doorbell
from sisy.models import Queue, QueuedRun, Run, RunState
from sisy.runtime.log import Outage
from sisy.runtime.loop import Loop
from sisy.store.database_thread import DatabaseThread
from sisy.store.isolation import past_bad_rows
from sisy.worker.unreadable_runs import reject_unreadable_of

if TYPE_CHECKING:
    from sisy.django_tasks.compat import BaseTaskBackend

DISPATCH_BATCH = 200
LOOK_INTERVAL = 1.0  # seconds
RESEND_DELAY = timedelta(seconds=5)  # until a run that an engine did not accept is sent again
END_TIMEOUT = 5.0  # seconds to send the last runs to their engines, which may hang


@asynccontextmanager
async def dispatching(using: str) -> AsyncIterator[None]:
    """Send queued runs to their engines in an ``async with`` block, if there are other engines.

    Args:
        using: the alias of the database.
    """
    if not conf.get_settings().aliases:
        yield
        return
    dispatcher = Dispatcher(using)
    sending = asyncio.create_task(dispatcher.run())
    try:
        with doorbell.listening_for_engines(dispatcher.loop.wake):
            yield
    finally:
        dispatcher.loop.stop()
        await asyncio.wait([sending], timeout=END_TIMEOUT)


class Dispatcher:
    """Sends queued runs to their engines once a second, in a thread of its own.

    Attributes:
        loop: sends runs; wake it to send them now.
    """

    def __init__(self, using: str) -> None:
        self._using = using
        # A thread of its own, because some engines are slow, or hang.
        self._database = DatabaseThread("sisy-dispatch")
        self.loop = Loop("Sending runs to other engines", self._step)
        self._outages: dict[str, Outage] = {}

    async def run(self) -> None:
        """Send runs until the loop is stopped."""
        try:
            await self.loop.run()
        finally:
            await self._database.close()

    async def _step(self) -> float:
        count = await self._database.run(self._dispatch)
        return 0.0 if count == DISPATCH_BATCH else LOOK_INTERVAL

    def _dispatch(self) -> int:
        return dispatch(self._using, clock.now(self._using), self._outages)


def dispatch(using: str, now: datetime, outages: dict[str, Outage] | None = None) -> int:
    """Send up to 200 queued runs to their engines, and return how many.

    Args:
        outages: the engines that accept no runs, by alias; updated by this call.
    """
    outages = {} if outages is None else outages
    taken = _take(using, now)
    for run in taken:
        outage = outages.setdefault(run.engine, Outage(f"Sending runs to {run.engine!r}"))
        try:
            send_to_engine(run)
        except BaseException as error:  # noqa: BLE001 - a backend may raise anything
            outage.failed(error, "retrying")
            earlier = now - conf.get_settings().dispatch_lease + RESEND_DELAY
            queued = Run.objects.using(using).queued().filter(pk=run.pk, dispatched_at=now)
            queued.update(dispatched_at=earlier)
        else:
            outage.recovered()
    return len(taken)


def refuse_unknown(using: str, now: datetime) -> int:
    """Fail a batch of runs whose engine is not configured, and return how many.

    They are left to other heartbeats for ``SISY_MISSING_CODE_SECONDS`` after they were ready.
    """
    # In a rolling deploy, only the new heartbeats know an engine that is new.
    settings = conf.get_settings()
    known, since = settings.aliases, now - settings.missing_code
    entries = QueuedRun.objects.using(using).filter(engine__gt="", ready_at__lte=since)
    entries = entries.exclude(engine__in=known)
    some = list(entries.order_by("run_id").values_list("run_id", flat=True)[:DISPATCH_BATCH])
    if not some:
        return 0
    lost = Run.objects.using(using).filter(pk__in=some, state=RunState.QUEUED)
    return len(reject_unknown_engines(lost.exclude(engine__in=known).of_other_engines(), now))


def send_to_engine(run: Run) -> None:
    """Enqueue the task that executes ``run`` on its engine."""
    from sisy.django_tasks.compat import task_backends

    backend = task_backends[run.engine]
    aliases = conf.get_settings().aliases
    trampoline: Any = import_string(trampoline_of(run.engine, aliases))
    priority = run.priority if backend.supports_priority else None
    trampoline.using(queue_name=queue_of(backend, run.queue), priority=priority).enqueue(run.pk)


def trampoline_of(alias: str, aliases: Collection[str]) -> str:
    """Return the dotted path of the task that an engine executes for each run.

    Args:
        aliases: the aliases of all engines.
    """
    name = _identifier(alias)
    # Two of them such as a-b and a_b would share a task, which is sent to one of them.
    if name != alias and [_identifier(other) for other in aliases].count(name) > 1:
        name = f"{name}_{alias.encode().hex()}"
    return f"sisy.engines.tasks.on_{name}"


def _identifier(alias: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in alias)


def _take(using: str, now: datetime) -> list[Run]:
    """Mark ready runs as dispatched, and return them."""
    settings = conf.get_settings()
    ready = {"engine__in": settings.aliases, "ready_at__lte": now}
    waiting = QueuedRun.objects.using(using).filter(**ready)
    # Usually none is. Then this is the only statement, once a second. In the order of the index,
    # PostgreSQL reads no other entries, even if it expects that many are ready.
    in_order = waiting.order_by("engine", "queue", "priority", "ready_at")
    if not in_order.values_list("run_id")[:1]:
        return []
    not_lately = Q(dispatched_at=None) | Q(dispatched_at__lte=now - settings.dispatch_lease)
    paused = list(Queue.objects.using(using).paused().values_list("name", flat=True))
    entries = waiting.exclude(queue__in=paused)
    queued = Run.objects.using(using).listed(entries).filter(state=RunState.QUEUED, **ready)
    first = queued.filter(not_lately).order_by("-priority", "ready_at", "id")

    def take() -> list[Run]:
        with transaction.atomic(using=using):
            runs = list(first.select_for_update(skip_locked=True)[:DISPATCH_BATCH])
            taken = Run.objects.using(using).filter(pk__in=[run.pk for run in runs])
            taken.update(dispatched_at=now)
        return runs

    return past_bad_rows(take, partial(reject_unreadable_of, entries, now))


def queue_of(backend: "BaseTaskBackend", queue: str) -> str:
    """Return ``queue`` if the backend has it, otherwise a queue that it has."""
    queues = backend.queues
    if not queues or queue in queues:
        return queue
    return conf.DEFAULT_QUEUES[0] if conf.DEFAULT_QUEUES[0] in queues else min(queues)
