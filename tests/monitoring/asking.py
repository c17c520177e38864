"""A monitoring system that asks a site."""

from django.test import Client

TOKEN = "a-token-of-the-tests"


def ask(path, *, token=TOKEN, method="get", **headers):
    """Return the answer to a request for ``/sisy/<path>``, by default with the right token."""
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return getattr(Client(), method)(f"/sisy/{path}", headers=headers)
