"""A worker that signs off records what has ended before anything else that may fail."""

import asyncio

import pytest

from sisy.models import Run
from sisy.worker.prefetch import InFlight
from sisy.worker.role import Draining


class Parts:
    """The parts of a worker that has one run left, which its pool has not called."""

    def __init__(self, failing=""):
        self.done = []
        self._failing = failing

    def withdraw_all(self):
        return [Run(pk=1)]

    def close(self):
        pass

    async def flush(self):
        self._do("record")

    async def release(self, runs, reason):
        self._do("release")

    async def end(self, abandoned):
        assert abandoned == []
        self._do("unregister")

    def _do(self, step):
        if step == self._failing:
            raise ConnectionError("the connection is gone")
        self.done.append(step)


def draining_of(parts, in_flight):
    return Draining(0, in_flight, pool=parts, claiming=parts, outcomes=parts, output=parts)


def signed_off(parts):
    asyncio.run(draining_of(parts, InFlight(1)).sign_off())
    return parts.done


class Held(Parts):
    """The parts of a worker that was frozen: its pool has not called the attempt that was lost."""

    async def end(self, abandoned):
        self.done += [run.attempt for run in abandoned]


def test_a_later_attempt_of_a_run_that_was_not_called_is_released_too():
    in_flight, parts = InFlight(2), Held()
    in_flight.take(Run(pk=1, attempt=0))
    in_flight.take(Run(pk=1, attempt=1))
    asyncio.run(draining_of(parts, in_flight).sign_off())
    assert parts.done == ["record", "release", 1]


def test_outcomes_are_recorded_before_runs_are_released():
    assert signed_off(Parts()) == ["record", "release", "unregister"]


@pytest.mark.parametrize(
    ("failing", "done"),
    [("record", []), ("release", ["record"]), ("unregister", ["record", "release"])],
)
def test_whatever_fails_the_worker_ends_and_its_lease_expires(failing, done, caplog):
    assert signed_off(Parts(failing)) == done
    assert "the lease will expire" in caplog.text
