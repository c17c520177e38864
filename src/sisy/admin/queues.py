"""Queues in the admin: those that were paused at least once, and who paused them."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from sisy.admin.model_admin import ReadOnly, moment_in
from sisy.models import Queue


@admin.register(Queue)
class QueueAdmin(ReadOnly):
    """A read-only list. The dashboard shows all queues, and can pause them."""

    dashboard_list = "fleet"
    list_display = fields = readonly_fields = (
        "name",
        "paused",
        "until",
        "paused_by",
        "pause_reason",
    )
    search_fields = ("name",)
    actions = None

    paused = moment_in("paused_at", _("paused"))
    until = moment_in("paused_until", _("until"))
