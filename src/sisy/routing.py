"""The routes of Channels: the worker for ``runworker``, and the dashboard's WebSocket."""

from typing import Any

from sisy import conf
from sisy.consumers import RunTaskConsumer
from sisy.runtime import live_socket
from sisy.runtime.worker_options import queue_names


def channels_for(*queues: str) -> dict[str, object]:
    """Return the mapping for `channels.routing.ChannelNameRouter` that serves ``queues``.

    Raises:
        ValueError: there is no queue, or a name is not valid.
    """
    # Not get_settings(): `manage.py check` must be able to import this despite invalid ones.
    settings = conf.usable_settings()
    return {settings.channel_of(queue): RunTaskConsumer.as_asgi() for queue in queue_names(queues)}


def live_application() -> Any:
    """Return the ASGI application of the dashboard's WebSocket.

    It checks the origin and the session. `sisy.asgi.LiveASGI` uses it. A project with its own
    router can add it under ``SISY_LIVE_PATH``.
    """
    # Imported here, because the user model may not be ready, and workers do not need it.
    from channels.security.websocket import AllowedHostsOriginValidator
    from channels.sessions import SessionMiddlewareStack

    from sisy.dashboard.live import LiveConsumer

    live_socket.note_served()
    # No AuthMiddlewareStack: the consumer reads the user from the session, and checks regularly.
    return AllowedHostsOriginValidator(SessionMiddlewareStack(LiveConsumer.as_asgi()))


channel_routing = channels_for("default")
"""The mapping for the default queue, for ``manage.py runworker sisy.run_task``."""
