"""Sisy as a backend of ``django.tasks``, or of its backport for Django 5.2."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from asgiref.sync import sync_to_async
from django.core import checks
from django.db import router

from sisy.django_tasks.api import (
    AnyResult,
    AnyTask,
    BaseTaskBackend,
    InvalidTask,
    TaskResultDoesNotExist,
    normalize_json,
    signals,
)


class SisyBackend(BaseTaskBackend):
    """Enqueues tasks of ``django.tasks`` as runs, which Sisy's workers carry out.

    ``QUEUES`` are the names of Sisy's queues. ``OPTIONS`` are policies that hold for all that is
    enqueued on the alias, as the fields of `sisy.models.Task` with these names: ``max_attempts``,
    ``retry_delay``, ``retry_backoff``, ``retry_max_delay``, ``on_lost`` and ``timeout``.
    """

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: AnyTask, args: Sequence[Any], kwargs: Mapping[str, Any]) -> AnyResult:
        """Put a run into the ledger, and return what is known of it.

        It leaves with the caller's transaction, or not at all if that is rolled back. Under
        ``SISY_EAGER``, the result is that of a task which has ended.

        Raises:
            InvalidTask: a worker could not find the task by its path, or an option is wrong.
            TransactionManagementError: tasks have a database of their own, and a transaction is
                open on another one.
            TypeError: JSON cannot hold an argument.
            ValueError: the database cannot.
        """
        from sisy.django_tasks.results import result_of
        from sisy.django_tasks.submitting import submit
        from sisy.lifecycle.submit import execute_if_eager
        from sisy.models import Run

        self.validate_task(task)
        for problem in self._wrong_options:
            raise InvalidTask(problem)
        run = submit(task, _json(args), _json(kwargs), self.options)
        result = result_of(run, task)
        signals.task_enqueued.send(type(self), task_result=result)
        execute_if_eager([run], router.db_for_write(Run, instance=run))
        return result_of(run, task)

    def get_result(self, result_id: str) -> AnyResult:
        """Return what the ledger knows of a run that was enqueued.

        Raises:
            TaskResultDoesNotExist: there is none with this id, or no more.
        """
        from django.db import router

        from sisy.django_tasks.payload import is_enqueued
        from sisy.django_tasks.results import key_in, result_of
        from sisy.models import Run

        key = key_in(result_id)
        runs = Run.objects.using(router.db_for_write(Run))  # replicas may not know it yet
        run = None if key is None else runs.filter(pk=key).first()
        if run is None or not is_enqueued(run.payload):
            raise TaskResultDoesNotExist(result_id)
        return result_of(run)

    async def aget_result(self, result_id: str) -> AnyResult:
        """Return what the ledger knows, for async callers; see `get_result`."""
        return await sync_to_async(self.get_result)(result_id)

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Check ``QUEUES`` and ``OPTIONS``."""
        from sisy.django_tasks.submitting import problems

        return [
            checks.Error(f"TASKS[{self.alias!r}]: {problem}", id="sisy.E007")
            for problem in problems(self.queues, self.options)
        ]

    @cached_property
    def _wrong_options(self) -> list[str]:
        """The errors in the options, checked once and not for each run."""
        from sisy.django_tasks.submitting import problems

        return list(problems((), self.options))


def _json(arguments: Any) -> Any:
    """Return arguments as JSON holds them."""
    return normalize_json(arguments)
