"""Starts a server of the site."""

import sys

from tests.processes.http import free_port, page
from tests.processes.process import Process
from tests.processes.site import Site
from tests.support.waiting import wait_until


def serve(site: Site, **environment: str) -> tuple[Process, str]:
    """Start a server; return it and its address."""
    port = free_port()
    command = ("-m", "uvicorn", "tests.browser.asgi:application", "--port", port)
    server = site.run(sys.executable, *command, "--log-level", "warning", **environment)
    wait_until(lambda: page(port, "/sisy/"), "the server answers")
    return server, f"http://127.0.0.1:{port}"
