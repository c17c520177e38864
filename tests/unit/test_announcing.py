"""What dashboards are told of runs that change."""

import asyncio
from types import SimpleNamespace

import pytest

from sisy import announcing, doorbell, messages
from sisy.announcing import APART, MOST_TASKS, Announcer


@pytest.fixture
def said(monkeypatch):
    """Return what is broadcast; the moments stand beside it."""
    found = []

    async def broadcast(group, message):
        assert group == messages.EVENTS
        found.append((asyncio.get_running_loop().time(), message))

    monkeypatch.setattr(doorbell, "broadcast", broadcast)
    return found


def run_of(task):
    return SimpleNamespace(task_id=task)


async def test_the_first_change_is_announced_at_once_and_what_follows_together(said):
    begun = asyncio.get_running_loop().time()
    announcer = Announcer()
    announcer.add([run_of(1)])
    await asyncio.sleep(0.01)
    for task in (2, 3, 2):
        announcer.add([run_of(task)])
    await asyncio.sleep(2 * APART)
    (first, one), (second, rest) = said
    assert first - begun < APART
    assert second - first >= APART
    assert (one["tasks"], rest["tasks"]) == ([1], [2, 3])
    assert (one["seq"], rest["seq"]) == (0, 1)
    assert one["source"] == rest["source"]


async def test_thousands_of_changes_make_a_few_small_messages(said):
    announcer = Announcer()
    for n in range(5000):
        announcer.add([run_of(n % 1000)])
    await asyncio.sleep(0.01)
    [(_, message)] = said
    assert len(message["tasks"]) == MOST_TASKS
    assert message["more"] is True


async def test_two_processes_are_told_apart(said):
    for announcer in (Announcer(), Announcer()):
        announcer.add([run_of(1)])
    await asyncio.sleep(0.01)
    (_, one), (_, other) = said
    assert one["source"] != other["source"]


async def test_runs_whose_task_is_gone_are_announced_too(said):
    Announcer().add([run_of(None)])
    await asyncio.sleep(0.01)
    [(_, message)] = said
    assert message["tasks"] == []


async def test_nothing_is_announced_where_there_is_no_layer(said, monkeypatch):
    monkeypatch.setattr(announcing, "get_channel_layer", lambda: None)
    Announcer().add([run_of(1)])
    await asyncio.sleep(0.01)
    assert said == []


async def test_one_that_is_closed_announces_no_more(said):
    announcer = Announcer()
    announcer.add([run_of(1)])
    announcer.close()
    await asyncio.sleep(0.01)
    assert said == []
