"""Who looks at the admin, and what they may do."""

from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.test import Client


def browser_of(*permissions: str) -> Client:
    """Return the browser of somebody who may do these things, and is called Pat."""
    person, _ = User.objects.get_or_create(username="Pat", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return _signed_in(person)


def browser_of_superuser() -> Client:
    """Return the browser of somebody who may do everything, and is called Sam."""
    person = User.objects.filter(username="Sam").first() or User.objects.create_superuser("Sam")
    return _signed_in(person)


def _signed_in(person: User) -> Client:
    # When a test has emptied all tables, content types get new keys. A thread that it left behind
    # may have put an old one into the cache after that.
    ContentType.objects.clear_cache()
    client = Client()
    client.force_login(person)
    return client
