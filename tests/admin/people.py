"""Who looks at the admin, and what they may do."""

from django.contrib.auth.models import Permission, User
from django.test import Client


def browser_of(*permissions: str) -> Client:
    """Return the browser of somebody who may do these things, and is called Pat."""
    person, _ = User.objects.get_or_create(username="Pat", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client


def browser_of_superuser() -> Client:
    """Return the browser of somebody who may do everything, and is called Sam."""
    client = Client()
    person = User.objects.filter(username="Sam").first() or User.objects.create_superuser("Sam")
    client.force_login(person)
    return client
