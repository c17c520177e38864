"""A reloader that stops gracefully, for development.

Django's reloader has two processes: a child serves and watches the files, and a parent starts
another child if one exits because of a change. On SIGTERM, Django's parent kills the child, and
the child's runs would stay ``running`` until the lease expires. This one passes the signal on and
waits.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from django.db import connections
from django.utils import autoreload

from sisy.management.supervisor import own_command
from sisy.runtime.run_until_stopped import STOP_SIGNALS, Service, interrupt_when_signalled

GRACE = 5.0  # seconds in which runs of the old code can finish
CHANGED = 3  # the exit code of a child of Django's reloader whose code has changed
PASSED_ON_AFTER = 0.3  # seconds in which a child handles a signal that it received itself
SAME_SIGNAL = 1.0  # seconds within which a child treats two signals as one


def serve_and_reload(build: Callable[[], Service]) -> None:
    """Run a service until SIGTERM or SIGINT, and restart it when code changes.

    A second signal stops it immediately.

    Args:
        build: a function that returns the service.
    """
    if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) == "true":
        interrupt_when_signalled()  # which Django's reloader expects
        served = _Served(build)
        try:
            autoreload.run_with_reloader(served.serve)
        finally:
            served.end()
    else:
        sys.exit(_Parent().run())


class _Parent:
    """Starts children until one exits without a change of code, or a signal arrives."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    def run(self) -> int:
        """Return the exit code of the last child."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
        while True:
            # In the same process group, because a debugger in a function needs the terminal.
            self._child = subprocess.Popen(own_command(), env=environment, close_fds=False)
            code = self._child.wait()
            if code != CHANGED or self._is_stopping:
                return max(code, 0)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True
        # A terminal also sends SIGINT to the child, and systemd sends SIGTERM to both.
        passing_on = threading.Timer(PASSED_ON_AFTER, self._pass_on, [number])
        passing_on.daemon = True
        passing_on.start()

    def _pass_on(self, number: int) -> None:
        if self._child is not None:
            self._child.send_signal(number)  # which does nothing if it has ended


class _Served:
    """The service of a child, in a thread that Django's reloader starts.

    The reloader itself runs in the main thread, and raises when a signal arrives or code changes.
    """

    def __init__(self, build: Callable[[], Service]) -> None:
        self._build = build
        self._service: Service | None = None
        self._has_ended = threading.Event()

    def serve(self) -> None:
        self._service = self._build()
        connections.close_all()  # those that building opened; this thread needs none
        try:
            asyncio.run(self._service.run())
        finally:
            self._has_ended.set()

    def end(self) -> None:
        """Stop the service gracefully; after a second signal, immediately."""
        if self._service is None:
            return
        service, began = self._service, time.monotonic()

        def hurry(number: int, frame: FrameType | None) -> None:
            if time.monotonic() - began > SAME_SIGNAL:
                service.stop()

        for number in STOP_SIGNALS:
            signal.signal(number, hurry)
        service.stop()
        self._has_ended.wait(GRACE + 1)
