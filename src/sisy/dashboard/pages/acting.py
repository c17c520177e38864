"""Where the pages' buttons lead: each does one thing with some rows, and leads back."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View

from sisy.dashboard.actions import processes, queues, runs, tasks
from sisy.dashboard.actions.said import Said
from sisy.dashboard.mounting import Dashboard
from sisy.dashboard.visit import Visit
from sisy.models import Process, Run, Task

Act = Callable[[Any, Any], Iterable[Said]]


class Acting(View):
    """Carries out the verb that the address names, for the rows that the form names."""

    dashboard: Dashboard = Dashboard()
    """Where it hangs; given by whoever mounts it."""

    http_method_names = ["post"]

    verbs: ClassVar[dict[str, tuple[str, Act]]]
    """Each verb with the permission it takes and what carries it out."""

    back: ClassVar[str]
    """The page to which it leads back, unless the form names another one."""

    def post(self, request: HttpRequest, verb: str) -> HttpResponse:
        visit = Visit(self.dashboard, request, {})
        if verb not in self.verbs or not visit.may(self.verbs[verb][0]):
            raise PermissionDenied
        for said in self.act(visit, verb):
            messages.add_message(request, said.level, said.words, fail_silently=True)
        return HttpResponseRedirect(self._next(visit))

    def act(self, visit: Visit, verb: str) -> Iterable[Said]:
        return self.verbs[verb][1](visit.request.user, self.chosen(visit))

    def chosen(self, visit: Visit) -> Any:
        """Return what the form names."""
        raise NotImplementedError

    def _next(self, visit: Visit) -> str:
        wanted = visit.request.POST.get("next", "")
        is_ours = url_has_allowed_host_and_scheme(
            wanted, {visit.request.get_host()}, require_https=visit.request.is_secure()
        )
        return wanted if is_ours else visit.address(self.back)


class TaskActing(Acting):
    back = "tasks"
    verbs = {
        "run": ("run_task", tasks.run_now),
        "pause": ("pause_task", tasks.pause),
        "resume": ("pause_task", tasks.resume),
        "cancel": ("cancel_run", tasks.cancel_runs),
        "back_to_code": ("change_task", tasks.back_to_code),
    }

    def chosen(self, visit: Visit) -> QuerySet[Task]:
        return Task.objects.using(visit.using).filter(pk__in=_keys(visit))

    def act(self, visit: Visit, verb: str) -> Iterable[Said]:
        if verb == "pause":
            return tasks.pause(visit.request.user, self.chosen(visit), _reason(visit))
        return super().act(visit, verb)


class RunActing(Acting):
    back = "overview"
    verbs = {
        "cancel": ("cancel_run", runs.cancel),
        "cancel_by_force": ("cancel_run", runs.cancel_by_force),
        "retry": ("run_task", runs.retry),
    }

    def chosen(self, visit: Visit) -> QuerySet[Run]:
        return Run.objects.using(visit.using).filter(pk__in=_keys(visit))


class ProcessActing(Acting):
    back = "fleet"
    verbs = {"drain": ("pause_task", processes.drain)}

    def chosen(self, visit: Visit) -> QuerySet[Process]:
        return Process.objects.using(visit.using).filter(pk__in=_keys(visit))


class QueueActing(Acting):
    back = "fleet"
    verbs = {
        "pause": ("pause_task", queues.pause),
        "resume": ("pause_task", queues.resume),
    }

    def chosen(self, visit: Visit) -> str:
        return visit.request.POST.get("name", "")

    def act(self, visit: Visit, verb: str) -> Iterable[Said]:
        if verb == "pause":
            return queues.pause(visit.request.user, self.chosen(visit), _reason(visit))
        return super().act(visit, verb)


def _reason(visit: Visit) -> str:
    return visit.request.POST.get("reason", "").strip()[:300]


def _keys(visit: Visit) -> list[int]:
    """Return the keys that the form names; what is no key names nothing."""
    named = visit.request.POST.getlist("pk")
    return [int(key) for key in named if key.isascii() and key.isdigit() and len(key) < 19]
