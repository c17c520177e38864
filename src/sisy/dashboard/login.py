"""The redirect of users who are not logged in."""

from urllib.parse import urlsplit

from django.conf import settings
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.translation import get_language


def login_address(admin_name: str | None = None) -> str:
    """Return the address of Django's ``LOGIN_URL``, or of the admin's login if it does not exist.

    Args:
        admin_name: of the admin site; by default the project's usual one.
    """
    return (login_exists() and _named()) or admin_login(admin_name) or str(settings.LOGIN_URL)


def admin_login(admin_name: str | None = None) -> str:
    """Return the address of the admin's login; empty without an admin."""
    try:
        return reverse("admin:login", current_app=admin_name)
    except NoReverseMatch:
        return ""


def login_exists() -> bool:
    """Return whether ``LOGIN_URL`` leads somewhere; that of another host is taken at its word."""
    address = urlsplit(_named())
    if address.netloc:
        return True
    path = "/" + address.path.removeprefix(get_script_prefix())
    # LocaleMiddleware redirects to the page of a language where only such pages exist.
    return any(map(_resolves, (path, f"/{get_language()}{path}")))


def _named() -> str:
    """Return the address for which ``LOGIN_URL`` stands; empty if it names no page."""
    try:
        return str(resolve_url(settings.LOGIN_URL))
    except NoReverseMatch:
        return ""


def _resolves(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True
