"""Checks of the channels that notify people of problems."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Warning, register  # noqa: A004

from sisy import conf
from sisy.alerting import channels
from sisy.alerting.apprise_channel import problem_with
from sisy.channel_settings import EMAIL, WEBHOOK, channels_of


@register("sisy")
def check_channels(**kwargs: Any) -> list[CheckMessage]:
    """Check that each channel of ``SISY_ALERTS`` can send, and that messages contain links."""
    return [*_missing_links(), *_unsigned_webhooks(), *_unusable_addresses()]


@register("sisy", deploy=True)
def check_recipients(**kwargs: Any) -> list[CheckMessage]:
    """Check that someone is notified of problems on a deployed site."""
    settings = conf.usable_settings()
    if not settings.alerts or channels.configured():
        return []
    return [
        Warning(
            "No one is notified of problems: ADMINS is empty.",
            hint="Set ADMINS, or name other channels in SISY_ALERTS. SISY_ALERTS = [] turns "
            "messages off.",
            obj="ADMINS",
            id="sisy.W019",
        )
    ]


def _missing_links() -> Iterator[CheckMessage]:
    if channels.configured() and not conf.usable_settings().site_url:
        yield Warning(
            "Messages about alerts contain no links, because SISY_SITE_URL is not set.",
            hint="Set it to the address of your site, such as 'https://example.com'.",
            obj="SISY_SITE_URL",
            id="sisy.W016",
        )


def _unsigned_webhooks() -> Iterator[CheckMessage]:
    settings = conf.usable_settings()
    for channel in channels_of(settings.alerts):
        if channel.scheme == WEBHOOK and not settings.webhook_secret:
            yield Warning(
                f"The channel {channel.name!r} cannot send: SISY_WEBHOOK_SECRET is not set.",
                hint="Messages to webhooks are signed with it. To create one, run: "
                "python -c 'import secrets; print(secrets.token_urlsafe())'.",
                obj="SISY_ALERTS",
                id="sisy.W017",
            )


def _unusable_addresses() -> Iterator[CheckMessage]:
    for channel in channels_of(conf.usable_settings().alerts):
        if channel.scheme not in (EMAIL, WEBHOOK) and (problem := problem_with(channel.to)):
            yield Warning(
                f"The channel {channel.name!r} cannot send: {problem}",
                hint="See the list of services in Apprise's documentation.",
                obj="SISY_ALERTS",
                id="sisy.W018",
            )
