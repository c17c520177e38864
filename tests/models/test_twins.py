"""Each verb has an async twin that does the same."""

import inspect
from copy import deepcopy
from types import FunctionType

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import models, transaction
from django.test.utils import isolate_apps

from sisy.models import Process, Queue, Run, Task
from tests.models.test_replicas import ledger
from tests.models.verbs import VERBS, Site

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

OWNERS = [Task, Run, Queue, Process]
ASKS_NOTHING = {
    "Task": {
        "calling": "returns an unsaved task",
        "changed_columns": "compares values",
        "for_once": "returns an unsaved task",
        "new_run": "returns an unsaved run",
        "overrides": "compares values",
        "remember": "notes a write",
        "remember_read": "notes a read",
        "remember_inserted": "notes a write",
        "twin": "copies",
    },
    "Run": {},
    "Queue": {},
    "Process": {},
}
WITHIN_A_TRANSACTION = {
    "Task": {"insert_alone": "a step of save()", "notice_rollback": "a step of save()"},
    "RunQuerySet": {
        "lock": "locks until the transaction ends, which async code cannot open",
    },
}
# Heartbeats, workers and engines call these for themselves, in the threads that use the database.
OF_PROCESSES = {
    "Process": {
        "has_silent_host",
        "join",
        "leave",
        "note_problem",
        "renew",
    },
}
FUNCTIONS = (FunctionType, classmethod, staticmethod)
OF_DJANGO = {
    "clean",
    "delete",
    "from_db",
    "refresh_from_db",
    "save",
    "update",
    "bulk_create",
    "bulk_update",
}


def own_verbs(cls):
    """Return the public methods that Sisy gives a class, by name, without properties."""
    names = {
        name: getattr(cls, name)
        for owner in cls.__mro__
        if owner.__module__.startswith("sisy.")
        for name, value in vars(owner).items()
        if not name.startswith("_") and isinstance(value, FUNCTIONS)
    }
    return {name: verb for name, verb in names.items() if not inspect.iscoroutinefunction(verb)}


def query_sets():
    """Return the query sets of the records, and for each the verbs that ask the database."""
    for model in OWNERS:
        query_set = type(model._default_manager.all())
        if query_set is not models.QuerySet:
            yield query_set


def is_lazy(name, verb):
    """Whether it returns a query set, which asks nothing by itself."""
    returned = str(inspect.signature(verb).return_annotation)
    return returned.endswith(("Self", "QuerySet", "QuerySet'"))


def verbs_of(cls):
    without = set(OF_DJANGO)
    for listed in (ASKS_NOTHING, WITHIN_A_TRANSACTION, OF_PROCESSES):
        without.update(listed.get(cls.__name__, ()))
    for name, verb in own_verbs(cls).items():
        if name in without or (issubclass(cls, models.QuerySet) and is_lazy(name, verb)):
            continue
        yield name, verb


ALL = [
    pytest.param(cls, name, verb, id=f"{cls.__name__}.{name}")
    for cls in [*OWNERS, *query_sets()]
    for name, verb in verbs_of(cls)
]


@pytest.mark.parametrize(("cls", "name", "verb"), ALL)
def test_a_verb_with_queries_has_a_twin_with_the_same_signature(cls, name, verb):
    """A verb that asks none, or cannot have one, is listed above with the reason."""
    twin = getattr(cls, f"a{name}", None)
    assert twin is not None, f"{cls.__name__}.{name} has no twin: add a{name} = twin({name})"
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(verb)
    assert twin.__name__ == f"a{name}"
    assert twin.__doc__ == f"Async version of `{name}`."


def test_every_listed_twin_exists():
    for listed in (ASKS_NOTHING, WITHIN_A_TRANSACTION, OF_PROCESSES):
        for cls in [*OWNERS, *query_sets()]:
            assert set(listed.get(cls.__name__, ())) <= own_verbs(cls).keys()


def test_every_twin_is_tried():
    tried = {str(verb) for verb in VERBS}
    assert {param.id for param in ALL} - tried == set()


def has_twin(verb):
    owner, _, name = verb.name.rpartition(".")
    return name not in OF_PROCESSES.get(owner, ())


@pytest.mark.parametrize("verb", [verb for verb in VERBS if has_twin(verb)], ids=str)
def test_a_twin_does_what_its_verb_does(verb):
    site = Site.build()
    with transaction.atomic():
        expected = verb.do(deepcopy(site))
        after = ledger()
        transaction.set_rollback(True)
    name = verb.name.rpartition(".")[2]

    async def from_async_code():
        with pytest.raises(SynchronousOnlyOperation):
            Task.objects.exists()
        return await getattr(verb.owner(site), f"a{name}")(*verb.args, **verb.kwargs)

    done = async_to_sync(from_async_code)()
    assert ledger() == after
    assert type(done) is type(expected)
    if isinstance(done, bool | int | dict):
        assert done == expected


# It would stay among the models of the project, which other tests of this process migrate.
@isolate_apps("tests.app")
def test_a_class_that_has_a_verb_of_its_own_has_its_twin():
    class Own(Task):
        class Meta:
            proxy = True
            app_label = "testapp"

        def pause(self, reason=""):
            return reason

    assert async_to_sync(Own(label="x").apause)("rain") == "rain"
