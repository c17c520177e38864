"""Whatever a path raises while it is looked up becomes an error message for that path."""

import re
import sys

import pytest

from sisy.callables import Target, kind_at, target_of
from sisy.checks import configuration
from sisy.exceptions import CallableError, TargetMissing
from sisy.models import Task, task_with_callable
from tests.admin.people import browser_of_superuser
from tests.app import jobs

SOURCE = """
from django.db import models

class Proxy:
    @property
    def __class__(self):
        raise ValueError("no request is served")

class Leaving:
    @property
    def __class__(self):
        raise SystemExit(3)

class Vague(Exception):
    def __str__(self):
        raise TypeError("no words")

class Unsayable:
    @property
    def __class__(self):
        raise Vague

class Unprintable:
    def __repr__(self):
        raise LookupError("no repr")

class Listless(type):
    def __dir__(cls):
        raise OSError("no list")

class Names(metaclass=Listless):
    pass

def odd(message): ...
odd.__signature__ = 7

proxy, leaving, unsayable, unprintable = Proxy(), Leaving(), Unsayable(), Unprintable()

def __getattr__(name):
    if name == "lazy":
        raise RuntimeError("apps are not ready")
    if name == "exits":
        raise SystemExit("bye")
    raise AttributeError(name)
"""
PATHS = {
    "hostile_jobs.proxy": "raises ValueError: no request is served.",
    "hostile_jobs.leaving": "raises SystemExit: 3.",
    "hostile_jobs.unsayable": "raises Vague: <exception str() failed>.",
    "hostile_jobs.unprintable": "raises LookupError: no repr.",
    "hostile_jobs.Names.gone": "raises OSError: no list.",
    "hostile_jobs.odd": "raises TypeError: ",
    "hostile_jobs.lazy": "raises RuntimeError: apps are not ready.",
    "hostile_jobs.exits": "raises SystemExit: bye.",
    "leaving_jobs.greet": "raises SystemExit: 1.",
    "vague_jobs.greet": "raises GeneratorExit.",
}


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hostile_jobs.py").write_text(SOURCE)
    (tmp_path / "leaving_jobs.py").write_text("import sys\nsys.exit(1)\n")
    (tmp_path / "vague_jobs.py").write_text("raise GeneratorExit\n")
    (tmp_path / "interrupted_jobs.py").write_text("raise KeyboardInterrupt\n")
    yield
    for name in ("hostile_jobs", "leaving_jobs", "vague_jobs", "interrupted_jobs"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "look",
    [
        target_of,
        kind_at,
        lambda path: Target(path=path).check(),
        lambda path: Target(path=path).resolve(),
        lambda path: Target(path=path).info(),
        lambda path: task_with_callable(path),
    ],
)
def test_a_lookup_fails_with_an_error_about_the_path(look, path):
    with pytest.raises(CallableError) as rejection:
        look(path)
    assert re.match(rf"Cannot (import|look up) {re.escape(path)}: ", str(rejection.value))
    assert PATHS[path] in str(rejection.value)


def test_targets_that_cannot_be_imported_or_found_count_as_missing():
    for path in ("leaving_jobs.greet", "hostile_jobs.lazy", "hostile_jobs.exits"):
        with pytest.raises(TargetMissing):
            target_of(path)


def test_a_keyboard_interrupt_is_not_caught():
    with pytest.raises(KeyboardInterrupt):
        target_of("interrupted_jobs.greet")


@pytest.mark.django_db
def test_the_forms_of_the_admin_and_the_checks_survive_every_path(settings):
    settings.SISY_CALLABLES = [*PATHS, "tests.app.jobs.noop"]
    task = task_with_callable(jobs.noop, label="tea")
    task.save()
    browser = browser_of_superuser()
    assert browser.get("/admin/sisy/task/add/").status_code == 200
    for path in PATHS:
        Task.objects.filter(pk=task.pk).update(target_path=path)
        assert browser.get(f"/admin/sisy/task/{task.pk}/change/").status_code == 200
        assert browser.get("/admin/sisy/task/").status_code == 200
    warnings = configuration.check_settings()
    assert [warning.id for warning in warnings] == ["sisy.W011"] * len(PATHS)


def test_a_dashboard_whose_module_exits_is_an_error(settings):
    settings.SISY_DASHBOARD = "leaving_jobs.Dashboard"
    [error] = configuration.check_settings()
    assert error.id == "sisy.E005"


@pytest.mark.django_db
def test_a_primary_key_field_may_raise_anything(monkeypatch):
    def raises(self, value):
        raise ZeroDivisionError("no key")

    monkeypatch.setattr("django.db.models.IntegerField.to_python", raises)
    for look in (target_of, lambda path, pk: Target(path=path, pk=pk).check()):
        with pytest.raises(CallableError, match=r"Counter\.tick: it raises Zero"):
            look("tests.app.models.Counter.tick", "7")
