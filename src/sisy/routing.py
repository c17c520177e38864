"""Where Channels' ``runworker`` finds Sisy."""

from sisy import conf
from sisy.consumers import RunTaskConsumer


def channels_for(*queues: str) -> dict[str, object]:
    """Return the mapping for `channels.routing.ChannelNameRouter` that serves ``queues``."""
    settings = conf.get_settings()
    return {settings.channel_of(queue): RunTaskConsumer.as_asgi() for queue in queues}


channel_routing = channels_for("default")
"""The mapping that serves the default queue, ``manage.py runworker sisy.run_task``."""
