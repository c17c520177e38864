"""Every address under which Sisy answers: found by walking the project's URL patterns."""

import re
from collections.abc import Iterator

from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, get_resolver

from sisy.models import TaskChange
from tests.support.moments import NOON

PART_NAMES = "status,counts,alerts,timeline,latest,list,head,output,steps,what,related,commands"
TASK_PARTS = "history,coming,about,errors,changes,ledger,log"
PARTS = f"?parts={PART_NAMES},{TASK_PARTS},processes,queues,map,meaning,tasks"


def _walk(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, str]]:
    for pattern in resolver.url_patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield str(pattern.name), route


def routes() -> dict[str, str]:
    """Return the routes of Sisy's pages by where they hang, such as ``sisy/runs/<int:pk>/``."""
    found = {route: name for name, route in _walk(get_resolver())}
    return {r: n for r, n in found.items() if r.startswith(("sisy/", "admin/sisy/"))}


def addresses(**keys: object) -> list[str]:
    """Return an address for each route, with the keys that it names filled in.

    Args:
        keys: the key of a ``task``, a ``run`` and a ``queue``; the ``verb`` or ``name`` of what
            is done.
    """
    known = {"kind": "csv", "change": _change_of(keys["task"]), **keys}
    return sorted({f"/{_filled(route, known)}" for route in routes()})


def _change_of(task: object) -> int:
    """Return the key of a stored change of a task."""
    fields = {"kind": "code", "changed_at": NOON, "fields": {"queue": ["slow", "default"]}}
    known = TaskChange.objects.filter(task_id=task).first()
    return int((known or TaskChange.objects.create(task_id=task, **fields)).pk)


def is_server_error(answer: HttpResponseBase) -> bool:
    """Return whether an answer says that something failed on the server.

    A health check answers 503 if, for example, no heartbeat is running.
    """
    is_finding = answer.status_code == 503 and answer["Content-Type"] == "application/json"
    return answer.status_code >= 500 and not is_finding


def _filled(route: str, keys: dict[str, object]) -> str:
    of = re.search(r"sisy/(?:task/dashboard/)?(task|run|queue)", route)
    model = of[1] if of else "task"

    def fill(match: re.Match[str]) -> str:
        name = match[1].rpartition(":")[2]
        return str(keys[model] if name in ("pk", "object_id") else keys[name])

    return re.sub(r"<(.*?)>", fill, route).removesuffix("$").replace("^", "")
