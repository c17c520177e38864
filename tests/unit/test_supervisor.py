"""The parent of some processes, and the line between them; the processes are small programs."""

import asyncio
import os
import socket
import sys

import pytest

from sisy.management import supervisor
from sisy.management.supervisor import Supervisor, _delay, _description
from sisy.runtime import parent_pipe
from sisy.runtime.parent_pipe import HURRY, STOP, ParentPipe

WAIT_TIMEOUT = 30.0


def program(text):
    return [sys.executable, "-c", text]


async def run_until(keeper, condition):
    running = asyncio.create_task(keeper.run())
    async with asyncio.timeout(WAIT_TIMEOUT):
        while not condition():
            await asyncio.sleep(0.01)
        keeper.stop()
        await running


async def test_a_child_that_ends_at_once_again_and_again_is_started_later_and_later(
    monkeypatch, caplog
):
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    keeper = Supervisor(program("raise SystemExit(3)"), 1, using="default")
    await run_until(keeper, lambda: caplog.text.count("ended (exit code 3)") >= 3)
    delays = [line.rsplit(" in ", 1)[1] for line in caplog.messages if "starting another" in line]
    assert delays[:3] == ["0.01 s", "0.02 s", "0.04 s"]
    assert not keeper.has_failed


async def test_a_restart_without_a_delay_names_none(monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "LONG_LIVED", -1.0)
    keeper = Supervisor(program("raise SystemExit(3)"), 1, using="default")
    await run_until(keeper, lambda: "starting another" in caplog.text)
    said = next(line for line in caplog.messages if "starting another" in line)
    assert said.endswith("ended (exit code 3); starting another process")


async def test_a_command_that_cannot_be_started_is_tried_again(monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.01)
    keeper = Supervisor(["/no/such/program"], 1, using="default")
    await run_until(keeper, lambda: caplog.text.count("Could not start a process") >= 2)


async def test_a_supervisor_stopped_before_it_starts_starts_nothing():
    keeper = Supervisor(["/no/such/program"], 3, using="default")
    keeper.stop()
    keeper.stop()
    async with asyncio.timeout(WAIT_TIMEOUT):
        await keeper.run()
    assert not keeper.has_failed


def test_children_are_started_later_and_later_to_a_bound():
    assert [_delay(lives) for lives in (0, 1, 2, 3, 6, 1000)] == [0, 1, 2, 4, 30, 30]


@pytest.mark.parametrize(
    ("code", "how"),
    [(-9, "killed by SIGKILL"), (-250, "killed by signal 250"), (3, "exit code 3")],
)
def test_exit_codes_and_signals_are_named(code, how):
    assert _description(code) == how


class Child:
    """The child's end of a line, and the parent's."""

    def __init__(self):
        self.stops = 0
        self.parent, end = socket.socketpair()
        self.line = ParentPipe(end, self.stop)
        self.line.listen()

    def stop(self):
        self.stops += 1

    async def hears(self, orders=b""):
        """Return how often it was told to stop, once it has heard what the parent says."""
        if orders:
            self.parent.send(orders)
        for _ in range(5):
            await asyncio.sleep(0)
        return self.stops


@pytest.fixture
async def child():
    child = Child()
    yield child
    child.parent.close()
    child.line.close()


async def test_a_child_stops_and_hurries_on_request(child):
    assert await child.hears(STOP) == 1
    assert await child.hears(HURRY) == 2


async def test_a_signal_to_parent_and_child_counts_once_in_either_order(child):
    child.line.signalled()
    assert await child.hears(STOP) == 1
    child.line.signalled()
    assert await child.hears() == 1
    assert await child.hears(HURRY) == 2


async def test_a_child_in_a_hurry_stops_first(child):
    assert await child.hears(HURRY) == 2


async def test_an_orphaned_child_stops_and_a_second_signal_makes_it_stop_faster(child):
    """The end of its parent counts as the first signal."""
    child.parent.close()
    assert await child.hears() == 1
    child.line.signalled()
    assert await child.hears() == 1
    child.line.signalled()
    assert await child.hears() == 2


async def test_messages_to_a_dead_parent_are_lost(child):
    child.parent.close()
    child.line.send("7")


def test_without_a_parent_there_is_no_pipe(monkeypatch):
    monkeypatch.delenv(parent_pipe.VARIABLE, raising=False)
    assert parent_pipe.open_to_parent(lambda: None) is None
    parent_pipe.report_to_parent(1)


def test_the_pipe_is_not_inherited_by_programs_of_functions(monkeypatch):
    monkeypatch.setattr(parent_pipe, "_pipe", None)
    parent, end = socket.socketpair()
    monkeypatch.setenv(parent_pipe.VARIABLE, str(end.detach()))
    line = parent_pipe.open_to_parent(lambda: None)
    parent_pipe.report_to_parent(17)
    assert parent.recv(10) == b"17\n"
    assert parent_pipe.VARIABLE not in os.environ
    assert not line._end.get_inheritable()
    line._end.close()
    parent.close()
