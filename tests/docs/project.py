"""The reader's project: what the examples of one page are written into, and run in."""

import doctest
import importlib
import os
import sys
import unittest
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from django.apps import apps as django_apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings
from django.utils.module_loading import import_string

from sisy import conf
from sisy.django_tasks import compat  # noqa: F401
from sisy.planning import declarations
from sisy.testing import sisy_time
from tests.docs.pages import ROOT, START, TUTORIAL, Block, blocks_of

FIRST_MIGRATION = """
from django.db import migrations


class Migration(migrations.Migration):
    pass
"""
OPTIONS = doctest.NORMALIZE_WHITESPACE


class Project:
    """Runs the ``python`` blocks of a page, one after the other.

    A block that names a file becomes a part of that file, and is used as such: settings are set,
    models get tables, tests are run. All others share one namespace, as at one prompt. Pages of
    the manual go on from the tutorial's files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._namespace: dict[str, Any] = {"__name__": "__console__"}
        self._declared = declarations.collected_anew()
        self._models: list[type[models.Model]] = []
        self._undo: list[Any] = []
        self.executed: list[Block] = []

    def open(self, page: Path) -> None:
        """Begin with what the page takes for granted."""
        self._declared.__enter__()
        if find_spec("django.tasks") is None:
            self._let_backport_stand_in()
        (self._folder / "shop" / "migrations").mkdir(parents=True)
        for package in ("shop", "shop/migrations", "mysite"):
            (self._folder / package).mkdir(exist_ok=True)
            (self._folder / package / "__init__.py").touch()
        (self._folder / "shop" / "migrations" / "0001_initial.py").write_text(FIRST_MIGRATION)
        sys.path.insert(0, str(self._folder))
        files = [block for block in blocks_of(page) if block.file]
        if page not in (TUTORIAL, START) and page.parent != ROOT:
            files = [block for block in blocks_of(TUTORIAL) if block.file] + files
        for block in files:
            path = self._folder / str(block.file)
            text = path.read_text() + "\n\n" if path.exists() else ""
            if path.suffix == ".py":
                path.write_text(text + block.text)
        self._install_shop()

    def _let_backport_stand_in(self) -> None:
        """Let what pages import from ``django.tasks`` come from ``django-tasks``, as they say."""
        import django_tasks

        standing_in = patch.dict(sys.modules, {"django.tasks": django_tasks})
        standing_in.start()
        self._undo.append(SimpleNamespace(disable=standing_in.stop))

    def close(self) -> None:
        self._declared.__exit__(None, None, None)
        migrations = MigrationExecutor(connection)
        if ("shop", "0001_initial") in migrations.loader.applied_migrations:
            migrations.migrate([("shop", None)])
        with connection.schema_editor() as editor:
            for model in self._models:
                editor.delete_model(model)
        for undo in reversed(self._undo):
            undo.disable()
        django_apps.all_models.pop("shop", None)
        django_apps.clear_cache()
        sys.path.remove(str(self._folder))
        self._forget()

    def run(self, block: Block) -> None:
        """Execute one block.

        Raises:
            AssertionError: it does not do what it shows.
        """
        if block.file is None:
            self._type_in(block)
        else:
            self._use(block, Path(block.file))
        self.executed.append(block)

    def _install_shop(self) -> None:
        self._forget()
        installed = override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "shop"])
        installed.enable()
        self._undo.append(installed)
        self._models = list(django_apps.get_app_config("shop").get_models())
        with connection.schema_editor() as editor:
            for model in self._models:
                editor.create_model(model)

    def _type_in(self, block: Block) -> None:
        if block.is_session:
            self._converse(block)
        else:
            code = compile("\n" * (block.line - 1) + block.text, str(block.page), "exec")
            exec(code, self._namespace)

    def _converse(self, block: Block) -> None:
        parser, report = doctest.DocTestParser(), []
        session = parser.get_doctest(
            block.text, self._namespace, str(block), str(block.page), block.line - 1
        )
        runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
        runner.run(session, out=report.append, clear_globs=False)
        self._namespace = session.globs
        assert not runner.failures, "".join(report)

    def _use(self, block: Block, path: Path) -> None:
        if path.name == "settings.py":
            self._set(block)
            return
        module = importlib.import_module(".".join(path.with_suffix("").parts))
        if path.name == "tests.py":
            _run_tests(module)
        elif path.name.startswith("test_"):
            _run_test_functions(module)
        elif path.parent.name == "migrations":
            _migrate_there_and_back(path.stem)
        elif path.name == "schedules.py":
            self._deploy()
        elif path.name == "urls.py":
            assert all(pattern.resolve for pattern in module.urlpatterns)
        elif path.parent.name == "mysite":
            assert callable(module.application)

    def _deploy(self) -> None:
        """Have tasks made of what the file declares."""
        from sisy.models import Task

        call_command("sisy_sync", verbosity=0)
        declared = set(Task.objects.declared().values_list("name", flat=True))
        assert declared >= {one.name for one in declarations.declarations()} != set()

    def _set(self, block: Block) -> None:
        """Let the settings be as the block says; of the databases and layers, only look."""
        given = {
            "INSTALLED_APPS": list(settings.INSTALLED_APPS),
            "DATABASES": {"default": {}},
        }
        exec(compile(block.text, str(block), "exec"), given)
        for layer in given.get("CHANNEL_LAYERS", {}).values():
            import_string(layer["BACKEND"])
        ours = (conf.PREFIX, "TASKS")
        changed = override_settings(
            **{name: value for name, value in given.items() if name.startswith(ours)}
        )
        changed.enable()
        self._undo.append(changed)
        assert not list(conf.unknown_names())
        conf.get_settings()
        if database := given["DATABASES"]["default"]:
            assert database["OPTIONS"] == example_settings()["OPTIONS"]

    def _forget(self) -> None:
        for name in list(sys.modules):
            if name.partition(".")[0] in ("shop", "mysite"):
                del sys.modules[name]
        importlib.invalidate_caches()


def example_settings() -> dict[str, Any]:
    """Return the database of the demo, as it is without any environment."""
    path = ROOT / "example" / "demosite" / "settings.py"
    given: dict[str, Any] = {"__file__": str(path)}
    before = os.environ.pop("DATABASE_URL", None)
    try:
        exec(path.read_text(), given)
    finally:
        if before is not None:
            os.environ["DATABASE_URL"] = before
    return given["DATABASES"]["default"]


def _run_tests(module: ModuleType) -> None:
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun
    assert result.wasSuccessful(), (result.errors, result.failures)


def _run_test_functions(module: ModuleType) -> None:
    """Call each as pytest would: with an empty database, and what ``sisy_time`` gives."""
    from sisy.models import Run, Task

    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert tests
    for test in tests:
        with transaction.atomic():
            Task.objects.all().delete()
            Run.objects.all().delete()
            with ExitStack() as stack:
                test(*[partial(_start, stack)] * len(signature(test).parameters))
            transaction.set_rollback(True)


def _start(stack: ExitStack, *args: Any) -> Any:
    return stack.enter_context(sisy_time(*args))


def _migrate_there_and_back(name: str) -> None:
    """Migrate the shop to a migration, back to the one before, and there again."""
    number = int(name.partition("_")[0])
    executor = MigrationExecutor(connection)
    others = {node[1] for node in executor.loader.graph.nodes if node[0] == "shop"}
    before = next(node for node in others if node.startswith(f"{number - 1:04}_"))
    seen = []
    for target in (before, name, before, name):
        MigrationExecutor(connection).migrate([("shop", target)])
        seen.append(_tasks())
    assert seen[0] == seen[2] != seen[1] == seen[3]


def _tasks() -> list[tuple[str, str]]:
    from sisy.models import Task

    return list(Task.objects.order_by("label").values_list("label", "schedule"))
