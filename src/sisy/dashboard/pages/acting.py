"""The views behind the buttons. Each changes the selected rows, and redirects back."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views import View

from sisy.dashboard.access import Dashboard
from sisy.dashboard.actions import alerts, confirming, processes, queues, runs, tasks
from sisy.dashboard.actions.confirming import Question
from sisy.dashboard.actions.noting import note_of, set_note
from sisy.dashboard.actions.pausing import pause_of
from sisy.dashboard.actions.result import Result
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.confirmation import ask, is_confirmed
from sisy.models import Alert, Process, Run, Task
from sisy.reports.ledger import key_of

Act = Callable[..., Iterable[Result]]
Form = Mapping[str, str]

MAX_KEYS_NAMED = 5  # unknown keys that an error quotes


def mute_of(form: Form) -> dict[str, Any]:
    """Return for how many hours to mute."""
    hours = key_of(form.get("hours", ""))
    return {"hours": hours if hours in alerts.MUTE_HOURS else alerts.MUTE_HOURS[0]}


class Acting(View):
    """Runs the verb in the URL for the rows in the form."""

    dashboard: Dashboard = Dashboard()
    """The dashboard to which it belongs; set when it is mounted."""

    http_method_names = ["post"]

    verbs: ClassVar[dict[str, tuple[str, Act]]]
    """Each verb with its permission and its action."""

    values: ClassVar[dict[str, Callable[[Form], dict[str, Any]]]] = {}
    """By verb, a function that reads further arguments of its action from the form."""

    questions: ClassVar[dict[str, Callable[[Any], Question | None]]] = {}
    """By verb, a function that returns what to ask first, if the chosen objects need it."""

    back: ClassVar[str]
    """The page to redirect to, unless the form names another one."""

    def post(self, request: HttpRequest, verb: str) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, {})
        if verb not in self.verbs or not page_request.may(self.verbs[verb][0]):
            raise PermissionDenied
        back = page_request.next_address(self.back)
        # The messages name moments in the zone that the reader chose, as the pages do.
        with timezone.override(page_request.zone):
            if verb in self.questions and not is_confirmed(page_request):
                question = self.questions[verb](self.chosen(page_request))
                if question is not None:
                    return ask(page_request, question, back, self.back)
            page_request.show(self.act(page_request, verb))
        return HttpResponseRedirect(back)

    def act(self, page_request: PageRequest, verb: str) -> Iterable[Result]:
        """Run the verb, and yield what it did."""
        _, act = self.verbs[verb]
        form = page_request.request.POST
        values = self.values[verb](form) if verb in self.values else {}
        return act(page_request.request.user, self.chosen(page_request), **values)

    def chosen(self, page_request: PageRequest) -> Any:
        """Return the objects that the form names."""
        raise NotImplementedError


class RowsActing(Acting):
    """Changes the rows whose keys are in the form, and reports unknown keys."""

    model: ClassVar[type[Model]]

    def chosen(self, page_request: PageRequest) -> Any:
        keys = [key_of(text) for text in self._named(page_request)]
        known = [key for key in keys if key is not None]
        return self.model._default_manager.using(page_request.using).filter(pk__in=known)

    def act(self, page_request: PageRequest, verb: str) -> Iterable[Result]:
        known = set(self.chosen(page_request).values_list("pk", flat=True))
        named = self._named(page_request)
        if strange := [text for text in named if key_of(text) not in known]:
            yield Result(self._refusal(strange), messages.ERROR)
        if not named:
            yield Result(gettext("Nothing is selected."), messages.ERROR)
        if known:
            yield from super().act(page_request, verb)

    def _refusal(self, keys: list[str]) -> str:
        shown = ", ".join(repr(key[:40]) for key in keys[:MAX_KEYS_NAMED])
        meta = self.model._meta
        words = ngettext(
            "Unknown %(what)s: %(keys)s. It may have been deleted.",
            "Unknown %(what)s: %(keys)s. They may have been deleted.",
            len(keys),
        )
        return words % {
            "what": meta.verbose_name if len(keys) == 1 else meta.verbose_name_plural,
            "keys": shown + (", …" if len(keys) > MAX_KEYS_NAMED else ""),
        }

    @staticmethod
    def _named(page_request: PageRequest) -> list[str]:
        return page_request.request.POST.getlist("pk")


class TaskActing(RowsActing):
    back = "tasks"
    model = Task
    verbs = {
        "run": ("run_task", tasks.run_now),
        "pause": ("pause_task", tasks.pause),
        "resume": ("pause_task", tasks.resume),
        "cancel": ("cancel_run", tasks.cancel_runs),
        "back_to_code": ("change_task", tasks.back_to_code),
        "note": ("change_task", set_note),
    }
    values = {"pause": pause_of, "note": note_of}
    questions = {
        "run": confirming.run_now,
        "pause": confirming.pause,
        "resume": confirming.resume,
        "cancel": confirming.cancel_runs_of,
        "back_to_code": confirming.back_to_code,
    }


class RunActing(RowsActing):
    back = "runs"
    model = Run
    verbs = {
        "cancel": ("cancel_run", runs.cancel),
        "cancel_force": ("cancel_run", runs.cancel_force),
        "retry": ("run_task", runs.retry),
    }
    questions = {
        "cancel": confirming.cancel,
        "cancel_force": confirming.cancel_force,
        "retry": confirming.retry,
    }


class ProcessActing(RowsActing):
    back = "fleet"
    model = Process
    verbs = {"drain": ("pause_task", processes.drain)}
    questions = {"drain": confirming.drain}


class AlertActing(RowsActing):
    back = "overview"
    model = Alert
    verbs = {
        "acknowledge": ("handle_alert", alerts.acknowledge),
        "unacknowledge": ("handle_alert", alerts.unacknowledge),
        "mute": ("handle_alert", alerts.mute),
        "unmute": ("handle_alert", alerts.unmute),
        "close": ("handle_alert", alerts.close),
        "reopen": ("handle_alert", alerts.reopen),
    }
    values = {"mute": mute_of}


class QueueActing(Acting):
    back = "fleet"
    verbs = {
        "pause": ("pause_task", queues.pause),
        "resume": ("pause_task", queues.resume),
    }
    values = {"pause": pause_of}

    def chosen(self, page_request: PageRequest) -> str:
        return page_request.request.POST.get("name", "")
