"""Run Sisy inside the web server's process, for a whole system in one ``uvicorn`` command."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any

from sisy import conf
from sisy.exceptions import SettingsError
from sisy.runtime import live_socket
from sisy.runtime.log import logger
from sisy.runtime.worker_options import concurrency_of, grace_of, queue_names

if TYPE_CHECKING:
    from sisy.runtime.run_until_stopped import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Projects and libraries annotate the three arguments in different ways.
Application = Callable[..., Awaitable[None]]


class LiveASGI:
    """An ASGI application that adds the dashboard's WebSocket to another one.

    Everything else goes to the wrapped application. The origin of a connection must be one of
    ``ALLOWED_HOSTS``, and its session must belong to a user who may see the dashboard.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._live: Application | None = None
        live_socket.note_served()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and self._is_ours(scope["path"]):
            if self._live is None:
                from sisy.routing import live_application

                self._live = live_application()
            await self._live(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    def _is_ours(self, path: str) -> bool:
        return path.endswith("/" + conf.get_settings().live_path)


class SisyASGI:
    """An ASGI application that runs a heartbeat and a worker while the server is up.

    Dashboards are live, as with `LiveASGI`. The server must support ASGI's lifespan protocol, as
    uvicorn and granian do; Daphne does not. If the server has several processes, each of them runs
    a heartbeat and a worker.

    Args:
        application: the application to wrap, for example ``get_asgi_application()``.
        queues: the queues that the worker serves; ``("default",)`` by default.
        concurrency: the maximum number of concurrent runs, 1 to 1000; 4 by default.
        grace: the seconds that runs have to finish when the server stops, 0 to 86400; 30 by
            default.

    Raises:
        ValueError: an argument is invalid; the rules are those of ``manage.py sisy_worker``.
    """

    def __init__(
        self,
        application: Application,
        *,
        queues: Iterable[str] = conf.DEFAULT_QUEUES,
        concurrency: int = conf.DEFAULT_CONCURRENCY,
        grace: float = conf.DEFAULT_GRACE,
    ) -> None:
        self._application = LiveASGI(application)
        self._queues = queue_names(queues)
        self._concurrency = concurrency_of(concurrency)
        self._grace = grace_of(grace)
        self._was_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if not self._was_started:
            self._was_started = True
            logger.warning(
                "This server does not support the ASGI lifespan protocol, so Sisy cannot run in "
                "it. Run 'manage.py sisy' as a separate process, or use uvicorn or granian"
            )
        await self._application(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        self._was_started = True
        await receive()
        try:
            service = self._service()
        except SettingsError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        serving = asyncio.create_task(service.run())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        service.stop()
        await asyncio.wait({serving})
        await send({"type": "lifespan.shutdown.complete"})

    def _service(self) -> "Service":
        # Imported here, because an asgi.py imports this module before Django's apps are ready.
        from sisy.heartbeat import Heartbeat
        from sisy.runtime.run_until_stopped import Service
        from sisy.worker import Worker

        return Service(Heartbeat(), Worker(self._queues, self._concurrency, self._grace))
