"""Things that threads hand to a loop."""

import asyncio
import threading

from sisy.runtime.loop import Inbox


async def test_items_of_threads_are_taken_in_order():
    taken, everything = [], asyncio.Event()

    def take(things):
        taken.extend(things)
        if len(taken) == 4000:
            everything.set()

    inbox = Inbox(asyncio.get_running_loop(), take)

    def put_many(name):
        for number in range(1000):
            inbox.put((name, number))

    threads = [threading.Thread(target=put_many, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(30):
        await everything.wait()
    for name in "abcd":
        assert [number for who, number in taken if who == name] == list(range(1000))


async def test_a_busy_loop_is_woken_once():
    batches = []
    inbox = Inbox(asyncio.get_running_loop(), batches.append)
    for number in range(5):
        inbox.put(number)
    await asyncio.sleep(0)
    assert batches == [[0, 1, 2, 3, 4]]


def test_items_after_the_loop_is_closed_are_dropped():
    loop = asyncio.new_event_loop()
    inbox = Inbox(loop, lambda things: None)
    loop.close()
    inbox.put("too late")
