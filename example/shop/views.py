"""The demo's pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from shop import jobs
from shop.models import Mail
from sisy.models import Run, Task


def home(request: HttpRequest) -> HttpResponse:
    """Show the latest reminders."""
    reminders = Run.objects.filter(target_path="shop.jobs.remind")
    return render(request, "shop/home.html", {"runs": reminders[:20]})


@require_POST
def remind(request: HttpRequest) -> HttpResponse:
    """Submit a reminder as a task that runs once."""
    text = request.POST.get("text", "").strip()[:200] or "nothing in particular"
    Task.run_once(jobs.remind, userdata={"text": text})
    return redirect("home")


def mails(request: HttpRequest) -> HttpResponse:
    """Show the latest mails."""
    return render(request, "shop/mails.html", {"mails": Mail.objects.all()[:50]})


def health(request: HttpRequest) -> HttpResponse:
    """Answer with status 200, for the demo's own checks."""
    return HttpResponse("ok\n", content_type="text/plain")
