"""The dispatcher of a heartbeat: what hangs in an engine holds up nothing else."""

import asyncio
import threading

import pytest
from django.db import connections

from sisy.django_tasks.compat import task_backends
from sisy.engines import dispatch
from sisy.heartbeat import Heartbeat
from sisy.models import Run
from tests.support.records import scheduled
from tests.support.waiting import wait_until


@pytest.fixture
def beating():
    """A heartbeat in a thread of its own."""
    heartbeat = Heartbeat()

    def beat():
        asyncio.run(heartbeat.run())
        connections.close_all()

    thread = threading.Thread(target=beat)
    thread.start()

    def ends():
        heartbeat.stop()
        thread.join(30)
        return not thread.is_alive()

    yield ends
    assert ends()


def is_dispatching():
    return "sisy-dispatch" in " ".join(map(str, threading.enumerate()))


@pytest.fixture
def no_engines(settings):
    settings.SISY_ENGINES = {}


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_without_other_engines_starts_no_dispatcher(no_engines, beating):
    task = scheduled("* * * * * *")
    wait_until(lambda: Run.objects.filter(task=task).exists())
    assert not is_dispatching()
    task.delete()


@pytest.mark.django_db(transaction=True)
def test_due_runs_are_dispatched_without_delay(beating):
    task = scheduled("* * * * * *", engine="at once", missed="all")
    wait_until(lambda: Run.objects.filter(task=task, state="succeeded").count() >= 2)
    task.delete()


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_plans_and_stops_while_an_engine_hangs(beating, monkeypatch):
    monkeypatch.setattr(dispatch, "END_TIMEOUT", 0.2)
    hangs, released = threading.Event(), threading.Event()

    def hang(*args, **kwargs):
        hangs.set()
        released.wait(30)

    monkeypatch.setattr(type(task_backends["forgetful"]), "enqueue", hang)
    scheduled(engine="some day").run_now()
    assert hangs.wait(30)
    task = scheduled("* * * * * *")
    wait_until(lambda: Run.objects.filter(task=task).exists())
    assert beating()
    released.set()
    wait_until(lambda: not is_dispatching())
    task.delete()
