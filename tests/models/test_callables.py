"""What a task calls, kept in the database, read again, and called."""

import uuid

import pytest

from sisy.callables import Target, target_of
from sisy.exceptions import TargetMissing
from sisy.models import Task, task_with_callable, taskinfo_with_label
from tests.app import jobs, odd_jobs
from tests.app.models import Counter, NamedCounter, ProxyCounter, SpecialCounter, UUIDCounter

pytestmark = pytest.mark.django_db

MODELS = "tests.app.models"


def read_again(target, **fields):
    """Return the task that calls ``target`` as another process would read it."""
    task = task_with_callable(target, **fields)
    task.save()
    return Task.objects.get(pk=task.pk)


def called(target, **fields):
    task = read_again(target, **fields)
    return task.target.resolve()({"task": task, "message": {}})


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (odd_jobs.decorated, "decorated"),
        (odd_jobs.positional_only, "positional"),
        (odd_jobs.Plain.of_class, "Plain"),
        (odd_jobs.Plain.static, "static"),
        (odd_jobs.Plain.Inner.deep, "deep"),
        (Counter.sweep, "Counter"),
        (Counter.static_sweep, "static"),
        (SpecialCounter.sweep, "SpecialCounter"),
        (ProxyCounter.sweep, "ProxyCounter"),
        (f"{MODELS}.Counter.sweep", "Counter"),
        (f"{MODELS}.SpecialCounter.static_sweep", "static"),
    ],
)
def test_functions_and_static_methods_are_called_as_given(target, value):
    assert called(target) == value


@pytest.mark.parametrize(
    ("model", "pk"),
    [
        (Counter, 7),
        (SpecialCounter, 2**31),
        (ProxyCounter, 7),
        (UUIDCounter, uuid.UUID("b8f52a3a-63d6-4b2e-9f52-0a8f6a1c8a11")),
        (NamedCounter, "a name, with / and ü"),
        (NamedCounter, ""),
    ],
)
def test_the_method_of_an_object_is_called_on_that_object(model, pk):
    counter, other = model.objects.create(pk=pk), NamedCounter.objects.create(pk="other")
    called(counter.tick)
    called(f"{MODELS}.{model.__name__}.tick", pk_override=pk)
    counter.refresh_from_db()
    other.refresh_from_db()
    assert (counter.count, other.count) == (2, 0)


def test_the_object_is_read_at_each_run():
    counter = Counter.objects.create()
    task = read_again(counter.tick)
    Counter.objects.update(count=40)
    assert task.target.resolve()({}) == 41


def test_an_inherited_method_is_called_on_the_model_of_the_instance():
    special = SpecialCounter.objects.create()
    task = read_again(special.tick)
    assert task.target == Target(path=f"{MODELS}.SpecialCounter.tick", pk=str(special.pk))
    assert type(task.target.resolve().__self__) is SpecialCounter


def test_the_method_of_a_proxy_is_called_on_the_proxy():
    proxy = ProxyCounter.objects.create()
    task = read_again(proxy.tick)
    assert task.target_path == f"{MODELS}.ProxyCounter.tick"
    assert type(task.target.resolve().__self__) is ProxyCounter


def test_a_path_may_name_an_object_that_does_not_exist_yet():
    task = read_again(f"{MODELS}.Counter.tick", pk_override=7)
    with pytest.raises(TargetMissing):
        task.target.resolve()
    Counter.objects.create(pk=7)
    assert task.target.resolve()({}) == 1


def test_a_deleted_object_is_reported_in_words():
    counter = UUIDCounter.objects.create(id="b8f52a3a-63d6-4b2e-9f52-0a8f6a1c8a11")
    target = target_of(counter.tick)
    counter.delete()
    target.check()
    with pytest.raises(TargetMissing) as caught:
        target.resolve()
    assert "'b8f52a3a-63d6-4b2e-9f52-0a8f6a1c8a11', which no longer exists" in str(caught.value)


def test_an_object_that_the_default_manager_hides_is_found(monkeypatch):
    counter = Counter.objects.create()
    monkeypatch.setattr(Counter.objects, "get_queryset", lambda self: 1 / 0)
    assert target_of(counter.tick).resolve().__self__ == counter


def test_an_async_method_of_an_object_is_found():
    counter = Counter.objects.create()
    assert read_again(counter.atick).target.resolve().__self__ == counter


def test_the_target_of_a_task_is_found_by_its_label():
    counter = Counter.objects.create(pk=7)
    read_again(counter.tick, label="seven")
    assert taskinfo_with_label("seven") == {
        "func_type": "instancemethod",
        "module_name": "tests.app.models",
        "class_name": "Counter",
        "class_path": "tests.app.models.Counter",
        "model_pk": "7",
        "func_name": "tick",
        "func_path": "tests.app.models.Counter.tick",
    }


def test_an_unknown_or_ambiguous_label_is_rejected():
    with pytest.raises(Task.DoesNotExist):
        taskinfo_with_label("nobody")
    for _ in range(2):
        read_again(jobs.noop, label="twin")
    with pytest.raises(Task.MultipleObjectsReturned):
        taskinfo_with_label("twin")
