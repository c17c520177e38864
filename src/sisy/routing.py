"""The routes of Channels: the worker for ``runworker``, and the dashboard's WebSocket."""

from typing import Any

from sisy import conf
from sisy.consumers import RunTaskConsumer
from sisy.worker_options import queue_names


def channels_for(*queues: str) -> dict[str, object]:
    """Return the mapping for `channels.routing.ChannelNameRouter` that serves ``queues``.

    Raises:
        ValueError: there is no queue, or a name is not valid.
    """
    settings = conf.usable_settings()  # of a project that `check` must still be able to load
    return {settings.channel_of(queue): RunTaskConsumer.as_asgi() for queue in queue_names(queues)}


def live_application() -> Any:
    """Return the ASGI application of the dashboard's socket.

    It checks the origin, and finds out by the session who it is. `sisy.asgi.LiveASGI` calls it;
    a project with a router of its own may put it under ``SISY_LIVE_PATH`` there.
    """
    # Not at the top: the models of users may not be ready, and a worker needs none of it.
    from channels.security.websocket import AllowedHostsOriginValidator
    from channels.sessions import SessionMiddlewareStack

    from sisy.dashboard.live import LiveConsumer

    # Who it is, the consumer finds out by the session itself, time and again.
    return AllowedHostsOriginValidator(SessionMiddlewareStack(LiveConsumer.as_asgi()))


channel_routing = channels_for("default")
"""The mapping that serves the default queue, ``manage.py runworker sisy.run_task``."""
