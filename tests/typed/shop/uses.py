"""A user's project: every public name, as it is used, with the type that it should have.

It is only read, by mypy and pyright, as strict as they can be; see `tests.typed.test_types`.
"""

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, assert_type

from django.core.asgi import get_asgi_application
from django.dispatch import Signal
from django.tasks import task
from django.tasks.base import Task as DjangoTask
from django.utils import timezone

import sisy
import sisy.asgi
from sisy import (
    CallableError,
    CurrentRun,
    DeclarationError,
    ScheduleError,
    SisyError,
    current_run,
    schedule,
    signals,
)
from sisy.backends import SisyBackend
from sisy.dashboard import Dashboard
from sisy.exceptions import RunCancelled, RunLost, RunTimedOut
from sisy.migrations_ops import AlterTask, CreateTask, DeleteTask
from sisy.models import (
    Alert,
    Attempt,
    Event,
    Missed,
    OnLost,
    Origin,
    OutboxMessage,
    Overlap,
    Process,
    Queue,
    QueuedRun,
    Role,
    Run,
    RunningRun,
    RunOutput,
    RunState,
    Task,
    TaskState,
    TroubledRun,
    task_with_callable,
    taskinfo_with_label,
)
from sisy.routing import channel_routing
from sisy.schedules import Schedule
from sisy.testing import (
    BackendConformance,
    SisyTestMixin,
    Timeline,
    assert_ran,
    assert_scheduled,
    sisy_time,
)

Message = dict[str, Any]


@schedule("0 9 * * *", name="morning", timezone="Europe/Berlin", max_attempts=3)
@schedule("0 17 * * *", name="evening", timeout=timedelta(minutes=1))
def count(message: Message) -> int:
    return len(message)


@sisy.schedule("@hourly", userdata={"n": 1}, overlap=Overlap.ALLOW, engine="heavy")
async def acount(message: Message) -> int:
    return len(message)


@schedule("@daily", name="mail", queue="mail", priority=5)
@task
def mail(to: str, copies: int = 1) -> str:
    return to * copies


assert_type(count({}), int)
assert_type(mail.call("a"), str)
by_hand: Callable[[Message], Coroutine[Any, Any, int]] = acount
kept: DjangoTask[[str, int], str] = mail


class Anvil:
    @staticmethod
    def forge(message: Message) -> None: ...

    @classmethod
    def count(cls, message: Message) -> int:
        return 1


def make_tasks(now: datetime) -> None:
    task = task_with_callable(count, label="count", schedule="@daily", userdata={"n": 1})
    assert_type(task, Task)
    task_with_callable(acount, start_running=now, end_running=None, iterations=3, queue="mail")
    task_with_callable(Anvil.forge, timezone="UTC", missed=Missed.ALL, on_lost=OnLost.FAIL)
    task_with_callable(Anvil.count)
    task_with_callable(mail, userdata={"to": "x"})
    task_with_callable("shop.models.Product.count", pk_override=3)
    assert_type(Task.run_once(mail), Task)
    assert_type(Task.run_once(count, {"a": 1}, delay_until=now), Task)
    assert_type(Task.bulk_run_once(count, [{"a": n} for n in range(3)]), Task)
    assert_type(Task.run_iterations(count, iterations=3, run_immediately=True), Task)
    assert_type(taskinfo_with_label("count"), dict[str, Any])
    task.schedule = "@hourly"
    task.userdata["n"] = 2
    task.save()
    assert_type(task.userdata, dict[str, Any])
    assert_type(task.allow_overlap, bool)
    task.allow_overlap = True
    task.pause("holidays")
    task.pause("holidays", until=timezone.now())
    task.resume()
    assert_type(task.run_now(), Run)
    assert_type(task.backfill(now, now), list[Run])
    assert_type(task.cancel_runs("enough"), int)


def with_policies(now: datetime) -> None:
    minute = timedelta(minutes=1)
    Task.run_once(count, label="count", queue="mail", priority=5, timeout=minute, max_attempts=3)
    Task.bulk_run_once(count, [{}], now, overlap=Overlap.BUFFER_ALL, on_lost="fail")
    Task.run_iterations(count, 3, timezone="UTC", queue="mail", missed=Missed.ALL, spread=minute)


async def reports() -> None:
    async for row in current_run().atrack([1, 2]):
        assert_type(row, int)
        await current_run().aprogress(row, 2)


async def from_async_code(task: Task, run: Run, process: Process, now: datetime) -> None:
    assert_type(await Task.arun_once(count, {"a": 1}, delay_until=now, priority=5), Task)
    assert_type(await Task.abulk_run_once(count, [{"a": 1}], label="count"), Task)
    assert_type(await Task.arun_iterations(count, iterations=3, timeout=timedelta(1)), Task)
    assert_type(await task.arun_now(), Run)
    assert_type(await task.abackfill(now, now, again=True), list[Run])
    assert_type(await task.ato_backfill(now, now), list[datetime])
    assert_type(await task.apause("holidays"), bool)
    assert_type(await task.aresume(), bool)
    assert_type(await task.acancel_queued(), int)
    assert_type(await task.acancel_runs("enough", by_force=True), int)
    assert_type(await task.acounts(), dict[str, int])
    assert_type(await task.aback_to_code("queue"), list[str])
    assert_type(await run.acancel("enough", by_force=True), bool)
    assert_type(await run.aretry(), Run)
    assert_type(await Run.objects.filter(task=task).acancel("enough", now), int)
    assert_type(await Run.objects.acancel("enough", now), int)
    assert_type(await Queue.objects.apause("mail", "rain"), bool)
    assert_type(await process.arequest_drain(now), bool)


def look(run: Run, process: Process) -> None:
    assert_type(run.lateness, timedelta | None)
    assert_type(run.duration, timedelta | None)
    assert_type(run.moment, datetime)
    assert_type(run.retry(), Run)
    assert_type(run.cancel("enough", by_force=True), bool)
    assert_type(process.renew(datetime.now(), timedelta(1)), bool)
    for each in Run.objects.filter(state=RunState.FAILED)[:5]:
        assert_type(each, Run)
    assert_type(Task.objects.filter(state=TaskState.ACTIVE).first(), Task | None)
    assert_type(Run.objects.filter(origin=Origin.ENQUEUED).count(), int)
    assert_type(Process.objects.filter(role=Role.WORKER).count(), int)
    assert_type(Attempt.objects.count(), int)
    assert_type(QueuedRun.objects.count(), int)
    assert_type(RunningRun.objects.count(), int)
    assert_type(TroubledRun.objects.count(), int)
    assert_type(RunOutput.objects.count(), int)
    assert_type(Alert.objects.count(), int)
    assert_type(OutboxMessage.objects.filter(event=Event.OPENED).count(), int)
    assert_type(Process.objects.alive(datetime.now()).count(), int)
    assert_type(Run.objects.queued().cancel("enough", datetime.now()), int)
    assert_type(Task.objects.all().delete(), tuple[int, dict[str, int]])
    Queue.objects.pause("mail", "the server is down")
    Queue.objects.pause("mail", by="Sam", until=timezone.now())
    Queue.objects.resume("mail")


def in_a_run() -> None:
    run = current_run()
    run.progress(0.4)
    run.progress(4, 10, message="row 4")
    for row in run.track(["a", "b"], total=2):
        assert_type(row, str)
    assert_type(run, CurrentRun)
    assert_type((run.id, run.label, run.attempt), tuple[int, str, int])
    assert_type(run.due_at, datetime | None)
    run.check()


def ahead(moment: datetime) -> None:
    daily = Schedule("@daily", timezone="Europe/Berlin", key="count")
    assert_type(daily.next_after(moment), datetime | None)
    assert_type(daily.upcoming(moment, 5), list[datetime])


def hear(sender: type[Run], run: Run, **kwargs: Any) -> None: ...


finished: Signal = signals.run_finished
finished.connect(hear, sender=Run)
signals.alert_opened.connect(hear, sender=Alert)
signals.alert_closed.connect(hear, sender=Alert)

errors: list[type[SisyError]] = [
    CallableError,
    DeclarationError,
    RunCancelled,
    RunLost,
    RunTimedOut,
    ScheduleError,
]
operations = [
    CreateTask("count", "shop.jobs.count", schedule="@daily"),
    AlterTask("count", schedule="@hourly"),
    DeleteTask("count"),
]


class MyDashboard(Dashboard):
    pass


class MyBackend(SisyBackend):
    pass


class CountTests(SisyTestMixin):
    def test_it_counts(self) -> None:
        time = self.sisy_time("2026-03-29 00:00", "Europe/Berlin")
        assert_type(time, Timeline)
        assert_type(time.advance(hours=6), list[Run])
        assert_type(self.assertRan(count, 6), list[Run])
        assert_type(self.assertScheduled(count, schedule="@daily"), Task)


class MyBackendTests(BackendConformance):
    def work(self) -> None: ...


async def test_it_counts_here(moment: datetime) -> None:
    with sisy_time("2026-03-29 00:00") as time:
        assert_type(time, Timeline)
        assert_type(await time.aadvance(hours=6), list[Run])
    assert_type(assert_ran(mail, state="failed"), list[Run])
    assert_type(assert_scheduled("shop.jobs.count", schedule="@daily"), Task)


assert_type(channel_routing, dict[str, object])
asgi: Callable[..., Awaitable[None]] = sisy.asgi.SisyASGI(get_asgi_application())
live: Callable[..., Awaitable[None]] = sisy.asgi.LiveASGI(get_asgi_application())
