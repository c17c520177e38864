"""The channels that ``SISY_ALERTS`` names, and which messages go to which of them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from sisy import conf
from sisy.alerting.apprise_channel import AppriseChannel
from sisy.alerting.delivery import NotDelivered
from sisy.alerting.email import EmailChannel, admins
from sisy.alerting.webhook import WebhookChannel
from sisy.channel_settings import EMAIL, WEBHOOK, ChannelSetting, channels_of, recipients_of
from sisy.models.outbox import OutboxMessage


class Channel(Protocol):
    """Sends messages to people or to another service."""

    def send(self, message: OutboxMessage) -> None:
        """Send a message. It takes a bounded time, and uses no transaction.

        Raises:
            NotDelivered: it was not accepted, as far as is known. It is sent again later.
        """


def configured() -> list[ChannelSetting]:
    """Return the channels of the project that can have recipients."""
    found = channels_of(conf.usable_settings().alerts)
    return [one for one in found if one.to != EMAIL or admins()]


def routed(payload: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each configured channel that a message goes to, and what it says there."""
    for setting in configured():
        notices = payload.get("notices")
        if notices is None:
            yield setting.name, payload
        elif wanted := [one for one in notices if setting.wants(one["what"], one["queue"])]:
            yield setting.name, {**payload, "notices": wanted}


def channel_named(name: str) -> Channel:
    """Return a channel.

    Raises:
        NotDelivered: no channel has this name.
    """
    if (create := _others.get(name.partition(":")[0])) is not None:
        return create()
    for setting in channels_of(conf.get_settings().alerts):
        if setting.name == name:
            return _channel_of(setting)
    # An older process may not know the channel yet, so another heartbeat may send the message.
    raise NotDelivered(f"SISY_ALERTS has no channel {name!r}.")


def _channel_of(setting: ChannelSetting) -> Channel:
    if setting.scheme == EMAIL:
        return EmailChannel(recipients_of(setting.to) or admins())
    if setting.scheme == WEBHOOK:
        return WebhookChannel(setting.to)
    return AppriseChannel(setting.to)


def add_channel(name: str, create: Callable[[], Channel]) -> None:
    """Add a channel that is not in ``SISY_ALERTS``, for messages that Sisy sends to services.

    It may be used under several names: this one, followed by a colon and any text.
    """
    _others[name] = create


_others: dict[str, Callable[[], Channel]] = {}
