"""Requests without NUL characters."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase, QueryDict

from sisy.runtime.compat import sealed

NUL = "\0"


def cleaned(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Return a view whose request has no NUL in its query or form; NULs are removed."""

    # PostgreSQL rejects a NUL in any text. Browsers do not send one.
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request.GET = _without_nul(request.GET)
        if request.method == "POST":
            request.POST = _without_nul(request.POST)
        return view(request, *args, **kwargs)

    return guarded


def _without_nul(query: QueryDict) -> Any:
    if not any(NUL in text for name, texts in query.lists() for text in (name, *texts)):
        return query
    clean = QueryDict(mutable=True, encoding=query.encoding)
    for name, texts in query.lists():
        for text in texts:
            clean.appendlist(name.replace(NUL, ""), text.replace(NUL, ""))
    return sealed(clean)
