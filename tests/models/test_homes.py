"""The method of an object is called on that very object, in whichever database it is."""

import random

import pytest
from django.db import models, router

from sisy.callables import target_of
from sisy.exceptions import CallableError, TargetMissing
from sisy.models import Task
from tests.app.models import Counter, NamedCounter, ProxyCounter, SpecialCounter, UUIDCounter
from tests.models.databases import PrimaryAndReplica, second_database

pytestmark = pytest.mark.django_db


@pytest.fixture
def archive(tmp_path):
    with second_database("archive", tmp_path / "archive.sqlite3") as connection:
        yield connection


class ToArchive:
    """Counters are in the archive, proxies of them, too."""

    def db_for_read(self, model, **hints):
        return self.db_for_write(model)

    def db_for_write(self, model, **hints):
        return "archive" if issubclass(model, Counter) else None


class ManyReplicas(PrimaryAndReplica):
    def db_for_read(self, model, **hints):
        return random.choice(["archive", "replica2", "replica3"])


@pytest.mark.parametrize(
    "model", [Counter, ProxyCounter, SpecialCounter, UUIDCounter, NamedCounter]
)
def test_an_object_from_another_database_is_rejected(archive, model):
    model.objects.create(pk=model._meta.pk.get_default() or 1)
    archived = model.objects.using("archive").create(pk=model.objects.get().pk)
    for make in (target_of, Task.run_once, Task.run_iterations):
        with pytest.raises(CallableError) as caught:
            make(archived.tick)
        named = (f"testapp.{model.__name__}", repr(archived.pk), "'archive'", "'default'")
        assert all(name in str(caught.value) for name in named)
    assert not Task.objects.exists()


@pytest.mark.parametrize("model", [Counter, ProxyCounter, SpecialCounter])
def test_an_object_is_called_in_the_database_to_which_its_model_is_routed(
    archive, settings, model
):
    Counter.objects.create(pk=1, count=10)
    settings.DATABASE_ROUTERS = [ToArchive()]
    archived = model.objects.create(pk=1, count=40)
    assert archived._state.db == "archive"
    task = Task.run_once(archived.tick)
    Task.objects.get(pk=task.pk).target.resolve()({"task": task, "message": {}})
    counts = [Counter.objects.using(alias).get().count for alias in ("default", "archive")]
    assert counts == [10, 41]


def test_a_bound_object_from_a_database_its_router_does_not_use_is_rejected(archive, settings):
    counter = Counter.objects.create(pk=1)
    settings.DATABASE_ROUTERS = [ToArchive()]
    with pytest.raises(CallableError, match="was read from the database 'default'"):
        target_of(counter.tick)


@pytest.mark.parametrize("routers", [[ManyReplicas()], [PrimaryAndReplica()]])
def test_an_object_that_was_read_from_a_replica_is_called_in_the_primary(
    archive, settings, routers
):
    Counter.objects.using("default").create(pk=1, count=10)
    read = Counter.objects.using("archive").create(pk=1, count=40)
    settings.DATABASE_ROUTERS = routers
    if not isinstance(routers[0], ManyReplicas):  # its name for reads is another one by now
        archive.settings_dict["TEST"]["MIRROR"] = "default"
    found = target_of(read.tick).resolve().__self__
    assert (found._state.db, found.count) == ("default", 10)


class Kept(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(count__lt=10)


def test_a_base_manager_that_hides_objects_hides_none_from_a_worker(monkeypatch):
    """Nor does one that looks into another database of its own accord."""
    hidden = Counter.objects.create(count=10)
    manager = Kept()
    manager.model = Counter
    monkeypatch.setitem(Counter._meta.__dict__, "base_manager", manager)
    assert not Counter._base_manager.exists()
    assert target_of(hidden.tick).resolve().__self__.count == 10


def test_routers_get_no_instance_as_a_hint():
    """A worker has none to show them: they must not tell by what it could not."""
    hints = []

    class Curious:
        def db_for_write(self, model, **given):
            hints.append(given)

    counter = Counter.objects.create()
    router.routers.append(Curious())
    try:
        target_of(counter.tick).resolve()
    finally:
        router.routers.pop()
    assert hints == [{}, {}]


def test_a_deleted_object_is_missing_in_every_database(settings):
    counter = Counter.objects.create()
    target = target_of(counter.tick)
    counter.delete()
    settings.DATABASE_ROUTERS = [PrimaryAndReplica()]
    with pytest.raises(TargetMissing, match="no longer exists"):
        target.resolve()
