"""A local mail server that keeps what arrives, and answers as a test wants."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import django
from aiosmtpd.controller import Controller


class MailServer:
    """Keeps messages.

    Attributes:
        port: the port on this host.
        received: the messages, in the order of their arrival.
        recipients: the recipients of each.
        answer: the answer to each message; by default, it is accepted.
    """

    def __init__(self) -> None:
        self.port = _free_port()
        self.received: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answer = "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.received.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        return self.answer


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server on a free port of this host."""
    server = MailServer()
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


def send_to(settings: Any, port: int, **options: Any) -> None:
    """Let the project send its e-mail to a server on this host."""
    backend = "django.core.mail.backends.smtp.EmailBackend"
    options = {"host": "127.0.0.1", "port": port, **options}
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
    else:
        settings.EMAIL_BACKEND = backend
        names = {"password": "HOST_PASSWORD"}
        for name, value in options.items():
            setattr(settings, f"EMAIL_{names.get(name, name.upper())}", value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
