"""The redirect of users who are not logged in."""

from urllib.parse import urlsplit

from django.conf import settings
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.translation import get_language


def login_address(admin_name: str | None = None) -> str:
    """Return the address of Django's ``LOGIN_URL``, or of the admin's login if it does not exist.

    Args:
        admin_name: the name of the admin site; by default Django's default site.
    """
    return (login_exists() and _named()) or admin_login(admin_name) or str(settings.LOGIN_URL)


def admin_login(admin_name: str | None = None) -> str:
    """Return the address of the admin's login; empty without an admin."""
    try:
        return reverse("admin:login", current_app=admin_name)
    except NoReverseMatch:
        return ""


def login_exists() -> bool:
    """Return whether ``LOGIN_URL`` matches a URL pattern; True if it is on another host."""
    address = urlsplit(_named())
    if address.netloc:
        return True
    path = "/" + address.path.removeprefix(get_script_prefix())
    # LocaleMiddleware redirects to the page with a language prefix.
    return any(map(_resolves, (path, f"/{get_language()}{path}")))


def _named() -> str:
    """Return the path of ``LOGIN_URL``, which may be the name of a URL; empty if unknown."""
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
