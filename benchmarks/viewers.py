"""What it costs workers that many people look at the dashboard while many runs end."""

import argparse
import asyncio
import statistics
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import psutil
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from tests.processes.http import free_port, page
from tests.processes.process import Process, wait_until
from tests.processes.site import Site
from websockets.asyncio.client import connect

from benchmarks import jobs, layouts, report
from benchmarks.layouts import Layout
from sisy.models import Run, RunState, Task

SITE = Layout(
    name="PostgreSQL and Valkey", commands=("sisy_heartbeat", "sisy_worker"), has_valkey=True
)
RATE = 500  # runs a second
SUBMISSION_BATCH = 50
VIEWERS = 50
MAX_MESSAGES = 4.5  # a second to each viewer
MAX_CPU_RATIO = 1.1  # of the worker's CPU without viewers


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was measured while so many looked."""

    viewers: int
    worker: float
    web: float
    """Seconds of CPU."""
    messages: float
    """That each viewer heard, a second."""
    page: float
    """Seconds that the overview took meanwhile, median."""


def measure(viewers: tuple[int, ...], seconds: float) -> list[Watched]:
    with layouts.opened(SITE) as site:
        web, address = serve(site)
        layouts.start(site, SITE.commands)
        cookie = signed_in()
        found = []
        for count in viewers:
            report.progress(f"{count} viewers: {RATE} runs a second for {seconds:g} s")
            found.append(watch(site, address, cookie, count, seconds))
        web.stop()  # it ends by the signal
        layouts.stop(site)
    return found


def serve(site: Site) -> tuple[Process, str]:
    """Start a web server of the pages alone; return it and its address."""
    port = free_port()
    command = ("-m", "uvicorn", "tests.browser.asgi:only_pages", "--port", port)
    options = ("--log-level", "warning")
    web = site.run(
        sys.executable, *command, *options, DJANGO_SETTINGS_MODULE="tests.browser.settings"
    )
    wait_until(lambda: page(port, "/admin/login/"), "the server answers")
    return web, f"127.0.0.1:{port}"


def signed_in() -> str:
    """Return the cookie of somebody who may look."""
    user = get_user_model().objects.create_superuser("bench")
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def watch(site: Site, address: str, cookie: str, count: int, seconds: float) -> Watched:
    web, _, worker = (psutil.Process(process.pid) for process in site.processes[-3:])
    heard = [0] * count
    with looking(address, cookie, heard), ThreadPoolExecutor(1) as pool:
        time.sleep(2)
        before, begun = (used(worker), used(web)), time.monotonic()
        heard[:] = [0] * count
        is_over = threading.Event()
        opening = pool.submit(look, address, cookie, is_over)
        ended = submit(seconds)
        lasted = time.monotonic() - begun
        after = (used(worker), used(web))
        is_over.set()
        taken = opening.result()
        messages = statistics.mean(heard) / lasted if heard else 0.0
    assert ended == round(RATE * seconds / SUBMISSION_BATCH) * SUBMISSION_BATCH
    return Watched(
        viewers=count,
        worker=after[0] - before[0],
        web=after[1] - before[1],
        messages=messages,
        page=statistics.median(taken),
    )


@contextmanager
def looking(address: str, cookie: str, heard: list[int]) -> Iterator[None]:
    """Open a socket for each viewer, and count what it hears."""

    async def listen(number: int) -> None:
        headers = {"Cookie": cookie, "Origin": f"http://{address}"}
        async with connect(f"ws://{address}/ws/sisy/", additional_headers=headers) as socket:
            async for _ in socket:
                heard[number] += 1

    async def listen_all() -> None:
        listening = [asyncio.create_task(listen(number)) for number in range(len(heard))]
        await asyncio.to_thread(is_over.wait)
        for each in listening:
            each.cancel()
        await asyncio.gather(*listening, return_exceptions=True)

    is_over = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(listen_all()))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def submit(seconds: float) -> int:
    """Submit runs at a steady pace, wait until all have ended, and return how many they were."""
    begun = time.monotonic()
    for n in range(round(RATE * seconds / SUBMISSION_BATCH)):
        time.sleep(max(0.0, begun + n * SUBMISSION_BATCH / RATE - time.monotonic()))
        Task.bulk_run_once(jobs.noop, [{}] * SUBMISSION_BATCH)
    wait_until(lambda: not Run.objects.live().exists(), "all have ended")
    ended = Run.objects.filter(state=RunState.SUCCEEDED).count()
    Run.objects.all().delete()
    return ended


def look(address: str, cookie: str, is_over: threading.Event) -> list[float]:
    """Open the overview again and again, and return how long it took each time."""
    request = urllib.request.Request(f"http://{address}/sisy/", headers={"Cookie": cookie})
    taken = []
    while not is_over.is_set():
        begun = time.perf_counter()
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 200
            response.read()
        taken.append(time.perf_counter() - begun)
        time.sleep(0.5)
    return taken


def used(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.viewers", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="how long each (default: 15)")
    options = parser.parse_args()
    found = measure((0, VIEWERS, 0, VIEWERS), options.seconds)
    alone, watched = (
        statistics.mean(each.worker for each in found if each.viewers == count)
        for count in (0, VIEWERS)
    )
    are_met = watched <= MAX_CPU_RATIO * alone and all(
        each.messages <= MAX_MESSAGES for each in found
    )
    report.show(
        "VIEWERS: what it costs that people look",
        f"{RATE} runs a second for {options.seconds:g} s, of a function that does nothing; one "
        "heartbeat, one worker, one web\nserver. CPU in seconds; the page is the overview, "
        "median, while the runs go on.",
        report.table(
            ["viewers", "worker CPU s", "web CPU s", "messages/s each", "page ms"],
            [
                [
                    str(each.viewers),
                    f"{each.worker:.2f}",
                    f"{each.web:.2f}",
                    f"{each.messages:.1f}",
                    report.milliseconds(each.page),
                ]
                for each in found
            ],
        ),
        f"Bar: the worker's CPU at most {MAX_CPU_RATIO} of that without viewers "
        f"({watched / alone:.2f}), at most {MAX_MESSAGES:g} messages a second to each: "
        f"{report.verdict(are_met)}",
        module="benchmarks.viewers",
        options=vars(options),
    )
    report.keep("viewers", [[e.viewers, e.worker, e.web, e.messages, e.page] for e in found])
    return report.judged(are_met)


if __name__ == "__main__":
    sys.exit(main())
