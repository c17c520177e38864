"""Send the signals of ``django.tasks`` for enqueued runs.

These are receivers of Sisy's own signals, which are sent once and after the commit. The signal of
a failed task is sent within an ``except`` block, as Django's own backends do, so that loggers and
error trackers find the error, with the traceback of the worker.
"""

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from sisy import signals as own
from sisy.django_tasks.payload import is_enqueued
from sisy.models import Run, RunState
from sisy.records.choices import LIVE_STATES
from sisy.runtime import signal_dispatch

ENDED_IN_THE_QUEUE = (own.run_cancelled, own.run_rejected, own.run_skipped)
"""Signals of runs that never start. ``task_finished`` is sent for them, too."""


class TaskFailed(Exception):
    """A task failed in a worker; the cause contains the traceback."""


class _TracebackFromWorker(Exception):
    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def on_started(*, run: Run, **kwargs: Any) -> None:
    if is_enqueued(run.payload):
        _send("task_started", run)


def on_finished(*, run: Run, **kwargs: Any) -> None:
    if not is_enqueued(run.payload):
        return
    if run.state == RunState.SUCCEEDED:
        _send("task_finished", run)
        return
    try:
        raise TaskFailed(run.reason) from _TracebackFromWorker(run.error)
    except TaskFailed:
        _send("task_finished", run)


def on_lost(*, run: Run, **kwargs: Any) -> None:
    if run.state not in LIVE_STATES:
        on_finished(run=run)


def connect_if_used() -> None:
    """Connect the receivers if Sisy is one of the project's ``TASKS``."""
    if not any(map(is_ours, (getattr(settings, "TASKS", None) or {}).values())):
        return
    for signal, receiver in (
        (own.run_started, on_started),
        (own.run_finished, on_finished),
        (own.run_lost, on_lost),
        *((signal, on_finished) for signal in ENDED_IN_THE_QUEUE),
    ):
        signal_dispatch.call_directly(receiver)  # `_send` contains the errors of other receivers
        uid = f"sisy.django_tasks.{receiver.__name__}"
        signal.connect(receiver, sender=Run, dispatch_uid=uid)


def is_ours(params: Any) -> bool:
    """Return whether the entry of an alias in ``TASKS`` names Sisy's backend."""
    try:
        from sisy.django_tasks.backend import SisyBackend

        named = import_string(params["BACKEND"])
    except (AttributeError, ImportError, KeyError, TypeError):
        return False  # django.tasks reports it
    return isinstance(named, type) and issubclass(named, SisyBackend)


@signal_dispatch.contained
def _send(name: str, run: Run) -> None:
    from sisy.django_tasks.compat import signals, task_backends
    from sisy.django_tasks.results import result_of

    result = result_of(run)
    backend = task_backends[result.backend]
    getattr(signals, name).send_robust(type(backend), task_result=result)
