"""The messages about alerts in the admin, and what became of them."""

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from sisy import clock
from sisy.admin.model_admin import ReadOnly, may, moment_in
from sisy.alerting import sending
from sisy.alerting.text import subject_of
from sisy.models import OutboxMessage
from sisy.models.outbox import OutboxQuerySet


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnly):
    """A read-only list, whose dead letters can be sent again."""

    dashboard_list = "overview"
    list_display = ("subject", "channel", "created", "attempts", "sent", "next_attempt", "error")
    fields = readonly_fields = (
        *("subject", "key", "channel", "event", "created", "attempts"),
        *("sent", "next_attempt", "failed", "error"),
    )
    list_filter = ("event", ("failed_at", admin.EmptyFieldListFilter))
    sortable_by = ()
    actions = ("resend",)

    created = moment_in("created_at", _("created"))
    sent = moment_in("sent_at", _("sent"))
    next_attempt = moment_in("next_attempt_at", _("next attempt"))
    failed = moment_in("failed_at", _("failed"))

    # Not the payload: it may quote errors, which some users may not read.
    @admin.display(description=_("subject"))
    def subject(self, message: OutboxMessage) -> str:
        return subject_of(message)

    @admin.action(description=_("Send again"), permissions=["resend"])
    def resend(self, request: HttpRequest, queryset: OutboxQuerySet) -> None:
        count = sending.resend(queryset, clock.now(queryset.db))
        words = ngettext(
            "%d message will be sent again.", "%d messages will be sent again.", count
        )
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, words % count, level)

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return may(request, "sisy.change_outboxmessage")
