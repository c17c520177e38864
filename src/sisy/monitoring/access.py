"""Access to the views of monitoring: by a token, or by a permission."""

from collections.abc import Callable
from functools import wraps

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from sisy import conf

SCHEME = "Bearer"

View = Callable[[HttpRequest], HttpResponseBase]
May = Callable[[HttpRequest], bool]
"""Returns whether the user of a request may see the site's state."""


def guarded(view: View, may: May) -> View:
    """Return ``view`` for GET and HEAD by those who have access. Nothing is cached.

    A request with ``SISY_MONITORING_TOKEN`` as its bearer token has access, and needs no database
    for that. A request without a bearer token has access if ``may`` says so.
    """

    # The middleware for pages that need a login would redirect a monitoring system to a form.
    @login_not_required
    @require_safe
    @never_cache
    @vary_on_headers("Authorization", "Cookie")
    @wraps(view)
    def answer(request: HttpRequest) -> HttpResponseBase:
        given = _token_of(request)
        if given is not None:
            return view(request) if _is_right(given) else _unauthorized()
        try:
            has_access = may(request)
        except (DatabaseError, InterfaceError):
            return HttpResponse(
                "The database is unavailable, so permissions cannot be checked. Use a token.\n",
                content_type="text/plain",
                status=503,
            )
        return view(request) if has_access else _unauthorized()

    return answer


def _token_of(request: HttpRequest) -> str | None:
    """Return the bearer token of a request; None if it has none."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == SCHEME.lower() else None


def _is_right(given: str) -> bool:
    expected = conf.get_settings().monitoring_token
    return bool(expected) and constant_time_compare(given, expected)


def _unauthorized() -> HttpResponse:
    return HttpResponse(
        "Send the value of SISY_MONITORING_TOKEN as a bearer token, or log in as a user who may "
        "see the dashboard.\n",
        content_type="text/plain",
        status=401,
        headers={"WWW-Authenticate": f'{SCHEME} realm="sisy"'},
    )
