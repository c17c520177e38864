"""Text that came with a request, without what no database can be asked for."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase, QueryDict

from sisy.runtime.compat.django import sealed

NUL = "\0"


def cleaned(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Return a view whose request holds no NUL, neither in its query nor in its form.

    PostgreSQL refuses it in any text. Nobody types it; whoever sends it is answered as if he had
    left it out.
    """

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
