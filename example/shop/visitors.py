"""Sign in visitors of the dashboard as the demo's admin. The demo listens on this machine only."""

from collections.abc import Callable

from django.contrib.auth import get_user_model, login
from django.http import HttpRequest, HttpResponse


class SignIn:
    """Signs in visitors of the dashboard as the user ``admin``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> None:
        if request.resolver_match.namespace == "sisy" and request.user.is_anonymous:
            admin = get_user_model().objects.filter(username="admin").first()
            if admin is not None:
                login(request, admin, backend="django.contrib.auth.backends.ModelBackend")
