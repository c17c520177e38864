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


def signed_off(parts):
    draining = Draining(0, InFlight(1), pool=parts, claiming=parts, outcomes=parts, output=parts)
    asyncio.run(draining.sign_off())
    return parts.done


def test_outcomes_are_recorded_before_runs_are_released():
    assert signed_off(Parts()) == ["record", "release", "unregister"]


@pytest.mark.parametrize(
    ("failing", "done"),
    [("record", []), ("release", ["record"]), ("unregister", ["record", "release"])],
)
def test_whatever_fails_the_worker_ends_and_its_lease_expires(failing, done, caplog):
    assert signed_off(Parts(failing)) == done
    assert "the lease will expire" in caplog.text
