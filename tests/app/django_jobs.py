"""Tasks of django.tasks, or of its backport for Django 5.2."""

from importlib.util import find_spec

from django.db import connection

import sisy

if find_spec("django.tasks"):
    from django.tasks import task
else:
    from django_tasks import task


@task
def add(first, second=1):
    return first + second


@task
async def aadd(first, second=1):
    return first + second


@task(takes_context=True)
def asks(context):
    return context.attempt


@task
def fail_at_first():
    if sisy.current_run().attempt == 1:
        raise LookupError("Not yet")
    return "now"


@task
def repeats(text, times=1):
    return text * times


@task
def returns_none():
    pass


@task
def is_not_a_number():
    return float("nan")


@task
def fails():
    raise ValueError("It went wrong")


@task
def asks_for_its_transaction():
    return connection.in_atomic_block


def plain():
    return "never"


renamed = task(plain)
