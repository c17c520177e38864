"""The admin's page on which somebody has the occurrences of a range made good."""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext

from sisy.admin.actions import Actions
from sisy.dashboard.backfilling import asked_for, run
from sisy.models import Task


def backfill_view(admin: Actions, request: HttpRequest, task: Task) -> HttpResponse:
    """Show what a range would run (GET), or run it (POST) and show the task again."""
    form, asked = asked_for(task, request)
    if request.method == "POST" and form.is_valid() and (said := run(request.user, form)):
        admin.message_user(request, said.words, said.level)
        return HttpResponseRedirect(reverse("admin:sisy_task_change", args=[task.pk]))
    context = {
        **admin.admin_site.each_context(request),
        "title": gettext("Backfill"),
        "subtitle": str(task),
        "opts": admin.opts,
        "original": task,
        "media": admin.media,
        "form": form,
        "zone": timezone.get_current_timezone_name(),
        "preview": form.preview if form.is_valid() else None,
        "asked": asked,
    }
    return TemplateResponse(request, "admin/sisy/task/backfill.html", context)
