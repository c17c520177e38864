"""Keep the demo's mails in its database, for a page that shows them."""

from collections.abc import Sequence

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from shop.models import Mail


class DatabaseBackend(BaseEmailBackend):
    """Stores mails instead of sending them."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Store mails, and return how many."""
        stored = [Mail.of(message) for message in email_messages]
        return len(Mail.objects.bulk_create(stored))
