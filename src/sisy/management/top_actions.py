"""The actions of the keys of ``sisy_top``."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import close_old_connections
from django.utils.translation import ngettext

from sisy import clock
from sisy.management.top_sections import Action
from sisy.management.verbs import who
from sisy.models import Alert, Process, Queue, Role, Run

P = ParamSpec("P")
T = TypeVar("T")


def connected(call: Callable[P, T]) -> Callable[P, T]:
    """Return the function with a usable connection, for calls in a thread of its own."""

    @wraps(call)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        close_old_connections()  # such as one that an outage has broken
        try:
            return call(*args, **kwargs)
        finally:
            close_old_connections()

    return wrapped


class Actions:
    """The actions on rows, by their keys. Each returns what to say about it.

    Args:
        using: the alias of the database.
    """

    def __init__(self, using: str) -> None:
        self._using = using

    def acknowledge(self, keys: str) -> str:
        """Acknowledge the alerts with these keys, separated by commas."""
        alerts = Alert.objects.using(self._using).filter(pk__in=keys.split(","))
        is_done = alerts.acknowledge(who(""), clock.now(self._using))
        if not is_done:
            return "Nothing to acknowledge: already acknowledged or closed."
        return "Acknowledged. Others can see that you are handling it."

    def pause(self, name: str) -> str:
        """Pause a queue, or resume it if it is paused."""
        if Queue.objects.using(self._using).paused().filter(name=name).exists():
            Queue.objects.resume(name)
            return f"Resumed the queue {name}."
        Queue.objects.pause(name, by=who(""))
        return f"Paused the queue {name}. Current runs continue."

    def drain(self, name: str) -> str:
        """Ask the worker with this name to drain."""
        pid, _, host = name.partition("@")
        workers = Process.objects.using(self._using).filter(role=Role.WORKER)
        workers = workers.filter(pid=int(pid), host=host)
        drained = [one for one in workers if one.request_drain(clock.now(self._using))]
        if not drained:
            return "Nothing to drain: the worker is already draining or has stopped."
        return f"Draining {name}: it exits after its current runs."

    def cancel(self, key: str) -> str:
        """Cancel a run, or ask it to stop."""
        run = Run.objects.using(self._using).get(pk=int(key))
        is_done = run.cancel(f"Cancelled by {who('')} with sisy_top.")
        if not is_done:
            return f"Nothing to cancel: run {key} has finished or was already asked to stop."
        return f"Asked run {key} to stop."

    def retry(self, key: str) -> str:
        """Retry a run."""
        again = Run.objects.using(self._using).get(pk=int(key)).retry()
        return f"Run {again.pk} is queued as a retry of run {key}."


def actions_of(using: str) -> dict[str, Action]:
    """Return the actions by their names."""
    do = Actions(using)
    return {
        "acknowledge": Action(
            section="alerts",
            question=_before_acknowledging,
            do=connected(do.acknowledge),
        ),
        "pause": Action(
            section="queues",
            question=lambda name: f"Pause the queue {name}, or resume it if it is paused?",
            do=connected(do.pause),
        ),
        "drain": Action(
            section="workers",
            question=lambda name: f"Drain worker {name}? It finishes its current runs, and exits.",
            do=connected(do.drain),
        ),
        "cancel": Action(
            section="running",
            question=lambda key: f"Ask run {key} to stop?",
            do=connected(do.cancel),
        ),
        "retry": Action(
            section="failures", question=lambda key: f"Retry run {key}?", do=connected(do.retry)
        ),
    }


def _before_acknowledging(keys: str) -> str:
    named = keys.split(",")
    words = ngettext("Acknowledge alert %s?", "Acknowledge alerts %s?", len(named))
    return words % ", ".join(named)
