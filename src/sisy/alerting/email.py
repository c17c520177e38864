"""Messages by e-mail, through the project's e-mail settings."""

import hashlib
import smtplib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives, get_connection

from sisy import conf
from sisy.alerting.delivery import NotDelivered, without_secrets
from sisy.alerting.notice import threads_of
from sisy.alerting.text import text_of
from sisy.models.outbox import OutboxMessage
from sisy.runtime.user_errors import name_of, words_of

TIMEOUT = 10.0  # seconds for each step of a delivery, unless the project names another


class EmailChannel:
    """Sends e-mail to people."""

    def __init__(self, recipients: Sequence[str]) -> None:
        self._recipients = recipients

    def send(self, message: OutboxMessage) -> None:
        """Send a message as text and HTML.

        Raises:
            NotDelivered: the server did not accept it for any recipient.
        """
        if not self._recipients:
            raise NotDelivered(
                "No recipients. Set ADMINS, or add recipients to the channel, such as "
                "'email:ann@example.com'."
            )
        text = text_of(message)
        mail = EmailMultiAlternatives(
            text.subject,
            text.plain,
            django_settings.SERVER_EMAIL,
            list(self._recipients),
            headers=_headers(message),
        )
        mail.attach_alternative(text.html, "text/html")
        backend = None
        try:
            backend = _backend()
            backend.send_messages([mail])
        except Exception as error:  # noqa: BLE001 - a backend of the project may raise anything
            words = without_secrets(_in_words(error), str(getattr(backend, "password", "") or ""))
            raise NotDelivered(words) from None


def _backend() -> Any:
    """Return the project's default way to send e-mail."""
    try:
        from django.core.mail import mailers  # type: ignore[attr-defined,unused-ignore]
    except ImportError:  # Django before 6.1
        backend: Any = get_connection()
    else:
        backend = mailers.default
    # Without a timeout, a server that hangs would block the thread forever.
    if getattr(backend, "timeout", TIMEOUT) is None:
        backend.timeout = TIMEOUT
    return backend


def admins() -> list[str]:
    """Return the addresses of ``ADMINS``."""
    # Django 6 expects addresses. Before, it expected pairs of a name and an address.
    found = (
        one if isinstance(one, str) else one[1] for one in getattr(django_settings, "ADMINS", ())
    )
    # From an environment variable that is empty. Django would send nothing, and raise no error.
    return [address for address in found if address.strip()]


def _headers(message: OutboxMessage) -> dict[str, str]:
    headers = {
        # The same at each attempt, so that mail servers and programs can drop a second copy.
        "Message-ID": _message_id(message.key),
        "Auto-Submitted": "auto-generated",
    }
    if earlier := " ".join(map(_message_id, threads_of(message.payload))):
        headers |= {"In-Reply-To": earlier, "References": earlier}
    return headers


def _message_id(key: str) -> str:
    host = urlsplit(conf.get_settings().site_url).hostname or "sisy.invalid"
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{host}>"


def _in_words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = sorted({_answer(*answer) for answer in error.recipients.values()})
        words = f"The server refused all recipients: {'; '.join(answers)}"
    elif isinstance(error, smtplib.SMTPResponseException):
        words = f"The server answered {_answer(error.smtp_code, error.smtp_error)}"
    elif isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        words = "There was no answer in time"
    else:
        words = f"{name_of(error)}: {words_of(error)}"
    return words


def _answer(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {text}"
