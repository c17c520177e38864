"""Queues in the admin: those that were paused at some time, and who paused them."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from sisy.admin.model_admin import ReadOnly, moment_in
from sisy.models import Queue


@admin.register(Queue)
class QueueAdmin(ReadOnly):
    """To read; the dashboard shows every queue with its runs and workers, and pauses it."""

    dashboard_list = "fleet"
    list_display = fields = readonly_fields = ("name", "paused", "paused_by", "pause_reason")
    search_fields = ("name",)
    actions = None

    paused = moment_in("paused_at", _("paused"))
