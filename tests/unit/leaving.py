"""Functions that try to end a thread or a loop; child processes import them quickly."""

import asyncio
import sys
import threading

from asgiref.sync import async_to_sync

LEAVERS = (SystemExit, KeyboardInterrupt)


class Odd(BaseException):
    """An error that is no Exception, and of which asyncio knows nothing."""


async def leave(error=SystemExit):
    raise error("of its own")


async def gathers(message):
    await asyncio.gather(asyncio.sleep(600), leave())


async def gathers_an_interrupt(message):
    await asyncio.gather(leave(KeyboardInterrupt), asyncio.sleep(600))


async def groups(message):
    async with asyncio.TaskGroup() as group:
        group.create_task(leave())
        await asyncio.sleep(600)


async def forgets_a_task(message):
    task = asyncio.create_task(leave())
    await asyncio.Event().wait()
    return task


async def calls_soon(message):
    asyncio.get_running_loop().call_soon(sys.exit, "of its own")
    await asyncio.Event().wait()


async def calls_later_and_waits_in_vain(message):
    loop = asyncio.get_running_loop()
    answer = loop.create_future()
    loop.call_later(0.001, sys.exit, "of its own")
    await answer


async def calls_soon_and_catches_all(message):
    asyncio.get_running_loop().call_soon(sys.exit, "of its own")
    try:
        await asyncio.Event().wait()
    except BaseException:  # noqa: BLE001 - as some do
        return "as if nothing had happened"


async def catches_what_it_gathers(message):
    try:
        await asyncio.gather(leave())
    except SystemExit:
        return "as if nothing had happened"


async def is_called_back(message):
    task = asyncio.create_task(asyncio.sleep(0))
    task.add_done_callback(lambda task: sys.exit("of its own"))
    await asyncio.Event().wait()


async def handles_errors_by_leaving(message):
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda loop, context: sys.exit("of its own"))
    loop.call_soon(int, "no number")
    try:
        await asyncio.Event().wait()
    finally:
        loop.set_exception_handler(before)


async def leaves_by_a_thread(message):
    await asyncio.gather(asyncio.to_thread(sys.exit, "of its own"))


def _bridged(function):
    def bridged(message):
        return async_to_sync(function)(message)

    bridged.__name__ = bridged.__qualname__ = f"plain_{function.__name__}"
    bridged.__module__ = __name__
    return bridged


ENDLESS = [
    gathers,
    groups,
    forgets_a_task,
    calls_soon,
    calls_later_and_waits_in_vain,
    calls_soon_and_catches_all,
    catches_what_it_gathers,
    is_called_back,
    handles_errors_by_leaving,
    leaves_by_a_thread,
]
for _function in [*ENDLESS, gathers_an_interrupt]:
    globals()[f"plain_{_function.__name__}"] = _bridged(_function)


async def gathers_what_asyncio_keeps(message):
    await asyncio.gather(leave(Odd))


async def gathers_a_generator_exit(message):
    await asyncio.gather(leave(GeneratorExit))


async def generates():
    try:
        yield 1
        yield 2
    finally:
        raise SystemExit("of its own")


async def drops_a_generator(message):
    """Python closes the generator, in a task that nobody waits for."""
    async for _ in generates():
        break
    for _ in range(5):
        await asyncio.sleep(0)


async def leaves_after_its_end(message):
    asyncio.get_running_loop().call_later(0.005, sys.exit, "of its own")


async def stops_its_loop(message):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


async def closes_its_loop(message):
    asyncio.get_running_loop().close()


async def refuses_tasks(message):
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, loop.set_task_factory, None)
    loop.set_task_factory(_refuse)


def _refuse(*args, **kwargs):
    raise SystemExit("no tasks here")


class Impostor:
    """Lies about its class, and then about that."""

    asked = 0

    @property
    def __class__(self):
        Impostor.asked += 1
        raise SystemExit("no class")


def returns_an_impostor(message):
    return Impostor()


def threads():
    """Return how many threads of pools there are."""
    return sum(thread.name.startswith("sisy-run") for thread in threading.enumerate())


async def agrees(message):
    return "async"


def plain_agrees(message):
    return async_to_sync(agrees)(message)
