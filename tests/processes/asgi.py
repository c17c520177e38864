"""One site for all servers: HTTP with Sisy in the server's process, and channels for runworker."""

from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from sisy.asgi import SisyASGI

web = get_asgi_application()

from sisy.routing import channels_for  # noqa: E402 - needs the apps to be ready

application = ProtocolTypeRouter(
    {"http": web, "channel": ChannelNameRouter(channels_for("default", "mail"))}
)
with_sisy = SisyASGI(web, grace=5)
