"""Runs without a schedule, whose task goes with the last of them."""

from collections.abc import Iterable
from copy import deepcopy
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack, cast

from django.db import models, router, transaction

from sisy import clock
from sisy.callables import Callee
from sisy.declarations import Policies, refuse_unknown
from sisy.models.choices import Origin, Overlap, TaskState
from sisy.models.commits import once_committed, open_beside
from sisy.models.instances import refer
from sisy.models.paired import can_insert_with_task, insert_with_task
from sisy.models.run import Run
from sisy.models.submission import announce, carry_out_if_eager, store
from sisy.models.twins import class_twin
from sisy.models.validators import future_moment, json_dict

if TYPE_CHECKING:
    from sisy.models.task import Task


class RunsOnce(models.Model):
    """The ways to have something run once, or once for each of many data."""

    class Meta:
        abstract = True

    @classmethod
    def run_once(
        cls,
        fn: Callee,
        userdata: dict[str, Any] | None = None,
        delay_until: datetime | None = None,
        *,
        label: str | None = None,
        queue: str | None = None,
        **policies: Unpack[Policies],
    ) -> "Task":
        """Save and submit a task that runs once, without a schedule, and is then deleted.

        The run leaves with the caller's transaction, or not at all if that is rolled back. Where
        tasks have a database of their own, it leaves once the caller's transactions, on whichever
        databases, are committed; until then, the task that is returned is not saved.

        Args:
            fn: what to call, or its dotted path.
            userdata: what JSON can hold; empty by default.
            delay_until: an aware moment before which it does not run; by default, now.
            label: as people see it; by default, the path.
            queue: which workers run it; ``default`` by default.
            policies: any policy of a task, such as ``timeout`` or ``max_attempts``. Those that
                are about a schedule, such as ``missed`` and ``spread``, have no effect here.

        Raises:
            CallableError: ``fn`` cannot be called by a worker.
            TypeError: a task has no such policy.
            ValueError: ``delay_until`` is naive or past, or a value cannot be stored.
        """
        refuse_unknown(policies)
        task = cls.for_once(fn, _extra_data=userdata, label=label, queue=queue, **policies)
        return _submit_once(task, [task.userdata], delay_until)

    arun_once = class_twin(run_once)

    @classmethod
    def bulk_run_once(
        cls,
        fn: Callee,
        userdata: Iterable[dict[str, Any]],
        delay_until: datetime | None = None,
        *,
        label: str | None = None,
        queue: str | None = None,
        **policies: Unpack[Policies],
    ) -> "Task":
        """Save and submit one task that runs once for each of ``userdata``, and is then deleted.

        The runs may go on side by side, unless ``overlap`` says otherwise. Each finds its own
        data in ``message["task"].userdata``. The task that is returned stands for all of them:
        ``counts()`` says how far they are, and ``cancel_runs()`` calls them off. They leave with
        the caller's transaction.

        Args:
            fn: what to call, or its dotted path.
            userdata: for each run, a dict of what JSON can hold; at least one.
            delay_until: an aware moment before which none runs; by default, now.
            label: as people see it; by default, the path.
            queue: which workers run it; ``default`` by default.
            policies: as for `run_once`.

        Raises:
            CallableError: ``fn`` cannot be called by a worker.
            TypeError: a task has no such policy.
            ValueError: as `run_once` does, or there are no data; nothing is submitted then.
        """
        refuse_unknown(policies)
        payloads = [json_dict(one, f"userdata[{n}]") for n, one in enumerate(userdata)]
        if not payloads:
            raise ValueError("userdata is empty. Pass one dict for each run.")
        task = cls.for_once(fn, label=label, queue=queue, **policies)
        return _submit_once(task, payloads, delay_until)

    abulk_run_once = class_twin(bulk_run_once)

    @classmethod
    def for_once(cls, fn: Callee, **fields: Any) -> "Task":
        """Return an unsaved task without a schedule, for `insert_once`."""
        model = cast("type[Task]", cls)
        given = {name: value for name, value in fields.items() if value is not None}
        task = model.calling(fn, **{"schedule": "", "overlap": Overlap.ALLOW, **given})
        task.state = TaskState.RETIRED
        return task


def _submit_once(
    task: "Task", payloads: list[dict[str, Any]], delay_until: datetime | None
) -> "Task":
    using = router.db_for_write(type(task))
    now = clock.now(using)
    ready_at = now if delay_until is None else future_moment(delay_until, "delay_until", now)
    if beside := open_beside(using):
        task.begin_anew(now)  # whoever calls hears at once of what cannot be stored
        given = deepcopy(payloads)
        once_committed(lambda: _leave(task, given, ready_at, using), using, beside)
    else:
        _leave(task, payloads, ready_at, using, now)
    return task


def _leave(
    task: "Task",
    payloads: list[dict[str, Any]],
    ready_at: datetime,
    using: str,
    now: datetime | None = None,
) -> None:
    now = now or clock.now(using)
    runs = insert_once(task, payloads, now, max(now, ready_at), Origin.ONCE, using)
    carry_out_if_eager(runs, using)


def insert_once(
    task: "Task",
    payloads: list[dict[str, Any]],
    now: datetime,
    ready_at: datetime,
    origin: Origin,
    using: str,
) -> list[Run]:
    """Insert a task and its runs, one for each payload, and have workers told of them.

    Follow it by `carry_out_if_eager`.

    Raises:
        ValueError: a column of the task cannot hold its value.
    """
    task.begin_anew(now)
    runs = [
        Run.of(task, now=now, origin=origin, ready_at=ready_at, payload=payload)
        for payload in payloads
    ]
    if len(runs) == 1 and can_insert_with_task(using, task):
        insert_with_task(using, task, runs[0])
        task.remember_inserted(using)
        announce(runs, using)
        return runs
    with transaction.atomic(using=using):
        task.insert_alone(using)
        for run in runs:
            refer(run, "task", task)  # which has a key now
        return store(runs, using)
