"""The pages that the shop checks, the results, the totals of each day, and mails."""

import urllib.request
from typing import Any

from django.core.mail import EmailMessage
from django.db import models
from django.utils import timezone


class Page(models.Model):
    """A page that the shop checks repeatedly."""

    url = models.URLField()
    status = models.IntegerField(null=True, editable=False)
    checked = models.IntegerField(default=0, editable=False)

    def __str__(self) -> str:
        return self.url

    def check_now(self, message: dict[str, Any]) -> int:
        """Fetch the page and store its status (an instance method that saves its object)."""
        with urllib.request.urlopen(self.url, timeout=5) as response:
            self.status = response.status
        self.checked += 1
        self.save()
        PageCheck.objects.create(page=self, status=self.status, checked_at=timezone.now())
        return self.status


class PageCheck(models.Model):
    """The result of one check of a page."""

    page = models.ForeignKey(Page, on_delete=models.CASCADE)
    status = models.IntegerField()
    checked_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.page}: {self.status}"

    @staticmethod
    def count(message: dict[str, Any]) -> int:
        """Return the number of checks (a static method)."""
        return PageCheck.objects.count()


class DayTotal(models.Model):
    """The number of checks on one day."""

    day = models.DateField(unique=True)
    checks = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.day}: {self.checks}"

    @classmethod
    def roll_up(cls, message: dict[str, Any]) -> int:
        """Add up today's checks (a class method)."""
        today = timezone.now().date()
        checks = PageCheck.objects.filter(checked_at__date=today).count()
        cls.objects.update_or_create(day=today, defaults={"checks": checks})
        return checks


class Mail(models.Model):
    """A mail that the demo has sent to its own page."""

    subject = models.CharField(max_length=255)
    to = models.CharField(max_length=255)
    text = models.TextField()
    message_id = models.CharField(max_length=255)
    in_reply_to = models.CharField(max_length=255, blank=True)
    sent_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.subject

    @classmethod
    def of(cls, message: EmailMessage) -> "Mail":
        """Return an unsaved record of a mail."""
        headers = message.extra_headers
        return cls(
            subject=message.subject[:255],
            to=", ".join(message.to)[:255],
            text=message.body,
            message_id=headers.get("Message-ID", ""),
            in_reply_to=headers.get("In-Reply-To", ""),
        )
