"""Workers that Channels' runworker hosts: one signal stops all of them."""

import asyncio
import signal

import pytest

from sisy import consumers

DEFAULT, MAIL = "sisy.run_task", "sisy.run_task.mail"


class FakeWorker:
    """A worker that ends when the test lets it."""

    def __init__(self, queues):
        self.queues = queues
        self.stops = 0
        self.wakes = 0
        self.may_end = asyncio.Event()

    async def run(self):
        await self.may_end.wait()

    def stop(self):
        self.stops += 1

    def wake(self):
        self.wakes += 1

    @property
    def is_stopping(self):
        return self.stops > 0


@pytest.fixture
def made(monkeypatch):
    """Return the workers that were made, by queue."""
    workers = {}

    def make(queues):
        [queue] = queues
        workers[queue] = FakeWorker(queues)
        return workers[queue]

    monkeypatch.setattr(consumers, "Worker", make)
    return workers


@pytest.fixture
def ended(monkeypatch):
    numbers = []
    monkeypatch.setattr(consumers, "_end_process", numbers.append)
    return numbers


async def settled():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_signal_stops_all_and_the_process_ends_with_the_last(made, ended):
    hosted = consumers.HostedWorkers()
    hosted.wake(DEFAULT)
    hosted.wake(MAIL)
    hosted.drain(signal.SIGTERM)
    assert [worker.stops for worker in made.values()] == [1, 1]
    made["default"].may_end.set()
    await settled()
    assert ended == []
    made["mail"].may_end.set()
    await asyncio.wait([hosted._ending])
    await settled()
    assert ended == [signal.SIGTERM]


async def test_a_second_signal_hurries_all_and_ends_the_process_once(made, ended):
    hosted = consumers.HostedWorkers()
    hosted.wake(DEFAULT)
    hosted.wake(MAIL)
    hosted.drain(signal.SIGTERM)
    hosted.drain(signal.SIGINT)
    assert [worker.stops for worker in made.values()] == [2, 2]
    for worker in made.values():
        worker.may_end.set()
    await asyncio.wait([hosted._ending])
    await settled()
    assert ended == [signal.SIGTERM]


async def test_a_channel_that_first_rings_while_others_drain_starts_no_worker(made, ended):
    hosted = consumers.HostedWorkers()
    hosted.wake(DEFAULT)
    hosted.drain(signal.SIGTERM)
    hosted.wake(MAIL)
    hosted.wake(DEFAULT)
    assert list(made) == ["default"]
    assert made["default"].wakes == 1
    made["default"].may_end.set()
    await asyncio.wait([hosted._ending])


async def test_the_handlers_of_the_loop_belong_to_all(made, ended, monkeypatch):
    handlers = {}
    loop = asyncio.get_running_loop()

    def add(number, callback, *args):
        handlers[number] = lambda: callback(*args)

    monkeypatch.setattr(loop, "add_signal_handler", add, raising=False)
    hosted = consumers.HostedWorkers()
    hosted.wake(DEFAULT)
    hosted.wake(MAIL)
    handlers[signal.SIGTERM]()
    assert [worker.stops for worker in made.values()] == [1, 1]
    for worker in made.values():
        worker.may_end.set()
    await asyncio.wait([hosted._ending])
    await settled()
    assert ended == [signal.SIGTERM]
