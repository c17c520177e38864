"""The views behind the pages' buttons. Each acts on some rows, and redirects back."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views import View

from sisy.dashboard.actions import processes, queues, runs, tasks
from sisy.dashboard.actions.result import Said
from sisy.dashboard.page_request import Visit
from sisy.dashboard.site import Dashboard
from sisy.models import Process, Run, Task
from sisy.reports.ledger import key_of

Act = Callable[[Any, Any], Iterable[Said]]

NAMED = 5  # keys of rows that there are not


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


class RowsActing(Acting):
    """Acts on the rows whose keys the form names, and says which of them there are not."""

    model: ClassVar[type[Model]]

    def chosen(self, visit: Visit) -> Any:
        keys = [key_of(text) for text in self._named(visit)]
        known = [key for key in keys if key is not None]
        return self.model._default_manager.using(visit.using).filter(pk__in=known)

    def act(self, visit: Visit, verb: str) -> Iterable[Said]:
        known = set(self.chosen(visit).values_list("pk", flat=True))
        named = self._named(visit)
        if strange := [text for text in named if key_of(text) not in known]:
            yield Said(self._refusal(strange), messages.ERROR)
        if not named:
            yield Said(gettext("Nothing is selected."), messages.ERROR)
        if known:
            yield from self.carry_out(visit, verb)

    def carry_out(self, visit: Visit, verb: str) -> Iterable[Said]:
        return super().act(visit, verb)

    def _refusal(self, keys: list[str]) -> str:
        shown = ", ".join(repr(key[:40]) for key in keys[:NAMED])
        return gettext("Unknown %(what)s: %(keys)s. It may have been deleted.") % {
            "what": self.model._meta.verbose_name,
            "keys": shown + (", …" if len(keys) > NAMED else ""),
        }

    @staticmethod
    def _named(visit: Visit) -> list[str]:
        return visit.request.POST.getlist("pk")


class TaskActing(RowsActing):
    back = "tasks"
    model = Task
    verbs = {
        "run": ("run_task", tasks.run_now),
        "pause": ("pause_task", tasks.pause),
        "resume": ("pause_task", tasks.resume),
        "cancel": ("cancel_run", tasks.cancel_runs),
        "back_to_code": ("change_task", tasks.back_to_code),
    }

    def carry_out(self, visit: Visit, verb: str) -> Iterable[Said]:
        if verb == "pause":
            return tasks.pause(visit.request.user, self.chosen(visit), _reason(visit))
        return super().carry_out(visit, verb)


class RunActing(RowsActing):
    back = "overview"
    model = Run
    verbs = {
        "cancel": ("cancel_run", runs.cancel),
        "cancel_force": ("cancel_run", runs.cancel_force),
        "retry": ("run_task", runs.retry),
    }


class ProcessActing(RowsActing):
    back = "fleet"
    model = Process
    verbs = {"drain": ("pause_task", processes.drain)}


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
