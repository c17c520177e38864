"""A target that was checked once is not looked up again, until it may have changed."""

import importlib
import sys
from types import FunctionType

import pytest

from sisy.callables import Target, target_of, task_at
from sisy.exceptions import CallableError, TargetMissing
from tests.app import django_jobs
from tests.support.chores import written_module

known = sys.modules["sisy.callables.target"]

SOURCE = "def tidy(message):\n    return 1\n"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(known, "_known", {})


@pytest.fixture
def chores(tmp_path, monkeypatch):
    """Return a module with a function that can be changed."""
    with written_module(tmp_path, monkeypatch, "known_chores", SOURCE) as (module, _):
        yield module


def look_up(path):
    raise AssertionError(f"{path} was looked up again")


def test_a_checked_value_is_not_looked_up_again(chores, monkeypatch):
    first = target_of(chores.tidy)
    monkeypatch.setattr(known, "find", look_up)
    assert target_of(chores.tidy) == target_of("known_chores.tidy") == first
    assert first.check() is first.resolve() is chores.tidy


def test_a_function_that_is_defined_again_is_checked_again(chores):
    target_of(chores.tidy)

    def tidy(message, *, more):
        pass

    chores.tidy = tidy
    with pytest.raises(CallableError, match="must take exactly one parameter"):
        Target(path="known_chores.tidy").check()
    with pytest.raises(CallableError, match="must take exactly one parameter"):
        Target(path="known_chores.tidy").resolve()


def test_after_a_reload_the_new_function_is_called_and_the_old_one_rejected(chores):
    old = chores.tidy
    target_of(old)
    importlib.reload(chores)
    assert Target(path="known_chores.tidy").resolve() is chores.tidy is not old
    target_of(chores.tidy)
    with pytest.raises(CallableError, match="which is not the function that you passed"):
        target_of(old)


def test_code_that_is_replaced_in_place_is_checked_again(chores):
    target_of(chores.tidy)
    chores.tidy.__code__ = (lambda message, more: None).__code__
    with pytest.raises(CallableError, match="must take exactly one parameter"):
        target_of(chores.tidy)


def test_a_function_that_is_deleted_is_missed(chores):
    target_of(chores.tidy)
    del chores.tidy
    with pytest.raises(TargetMissing, match="has no 'tidy'"):
        Target(path="known_chores.tidy").resolve()


def test_a_module_that_is_replaced_is_looked_up_again(chores, monkeypatch):
    target_of(chores.tidy)
    other = type(sys)("known_chores")
    exec(SOURCE, vars(other))
    monkeypatch.setitem(sys.modules, "known_chores", other)
    assert Target(path="known_chores.tidy").resolve() is other.tidy
    with pytest.raises(CallableError, match="which is not the function that you passed"):
        target_of(chores.tidy)


def test_a_function_of_the_main_script_is_rejected_though_its_path_was_accepted(monkeypatch):
    main = sys.modules["__main__"]
    chore = FunctionType((lambda message: None).__code__, vars(main), "chore")
    chore.__module__, chore.__qualname__ = "__main__", "chore"
    monkeypatch.setattr(main, "chore", chore, raising=False)
    Target(path="__main__.chore").check()
    with pytest.raises(CallableError, match="is defined in the main script"):
        target_of(chore)


def test_a_primary_key_is_rejected_though_the_function_is_known(chores):
    target_of(chores.tidy)
    for reject in (
        lambda: target_of("known_chores.tidy", 1),
        lambda: target_of(chores.tidy, 1),
        Target(path="known_chores.tidy", pk="1").check,
        Target(path="known_chores.tidy", pk="1").resolve,
    ):
        with pytest.raises(CallableError, match="pk_override"):
            reject()


def test_an_attribute_that_a_module_computes_is_looked_up_each_time(chores):
    functions = []

    def computed(name):
        if name != "made":
            raise AttributeError(name)
        functions.append(FunctionType(chores.tidy.__code__, {}, "made"))
        return functions[-1]

    chores.__getattr__ = computed
    resolved = [Target(path="known_chores.made").resolve() for _ in range(2)]
    assert resolved == functions[-2:]
    assert resolved[0] is not resolved[1]


def test_the_number_of_known_ones_is_limited(chores, monkeypatch):
    monkeypatch.setattr(known, "MAX_KNOWN", 3)
    for n in range(10):
        setattr(chores, f"tidy_{n}", FunctionType(chores.tidy.__code__, {}, f"tidy_{n}"))
        Target(path=f"known_chores.tidy_{n}").check()
        assert 1 <= len(known._known) <= 3


def test_a_task_of_django_is_known_until_its_name_is_bound_to_something_else(monkeypatch):
    task = django_jobs.add
    assert target_of(task) == target_of(task.using(priority=5)) == target_of(task.func)
    monkeypatch.setattr(known, "find", look_up)
    assert task_at("tests.app.django_jobs.add") is task
    assert target_of(task.using(priority=6)) == target_of(task)
    monkeypatch.undo()
    monkeypatch.setattr(django_jobs, "add", task.func)
    with pytest.raises(CallableError, match=r"is not a django\.tasks task"):
        task_at("tests.app.django_jobs.add")
    monkeypatch.setattr(django_jobs, "add", django_jobs.aadd)
    with pytest.raises(CallableError, match="which is not the function that you passed"):
        target_of(task)
