"""What tests share."""

import gc
import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django.test import TransactionTestCase

from sisy import clock
from tests.support.clocks import SettableClock as SettableClock
from tests.support.clocks import TwoClocks, clock_at
from tests.support.emptying import empty
from tests.support.layers import in_memory_layer as in_memory_layer
from tests.support.moments import NOON
from tests.support.pools import pool as pool
from tests.support.pools import pool_of as pool_of
from tests.support.small_tables import disagreements

# They have a process of their own: `make test-browser`.
collect_ignore = [] if "SISY_TEST_BROWSER" in os.environ else ["browser", "pictures"]

# What tests of processes share asserts, too. Not in the package itself: each process under test
# imports its settings from there, and would import all of pytest with them.
pytest.register_assert_rewrite(
    *("tests.processes.ahead", "tests.processes.ledger", "tests.processes.process")
)

ROOT = Path(__file__).parent
# Areas whose tests all carry the marker `database`: they run on SQLite, PostgreSQL and MariaDB.
ON_EACH_DATABASE = {
    "concurrency",
    "engines",
    "task_backend",
    "models",
    "processes",
    "roles",
    "syncing",
    "testing",
}
# Of these, what any one server proves, and MariaDB would not do otherwise: signals, process
# managers, other engines, the channel layer, requests to other hosts. How rows are locked is not
# among it, nor how they are found again after kills.
ON_ONE_SERVER = {
    "processes/test_deadman.py",
    "processes/test_deploys.py",
    "processes/test_engines.py",
    "processes/test_layouts.py",
    "processes/test_outages_of_valkey.py",
    "processes/test_outbox.py",
    "processes/test_pings.py",
    "processes/test_runworker.py",
    "processes/test_stopping.py",
}
# Areas whose tests run once, on SQLite, but for those that carry the marker themselves.
ONCE = {
    "admin",
    "chaos",
    "commands",
    "dashboard",
    "docs",
    "monitoring",
    "servers",
    "simulation",
    "typed",
    "unit",
}
# Areas and modules with tests that take long.
LONG = {"processes", "simulation", "typed", "docs/test_start.py"}
# Areas that have a target of their own.
SEPARATE = {"browser", "conformance"}


@cache
def name_of(path: Path) -> str:
    """Return where a module is below tests/."""
    return path.relative_to(ROOT).as_posix()


def area_of(path: Path) -> str:
    """Return the folder below tests/ in which a test is."""
    return name_of(path).partition("/")[0]


def is_marked(path: Path) -> bool:
    """Return whether a module, or something in it, carries the marker ``database`` itself."""
    return "pytest.mark.database" in path.read_text()


def has_database_tests(path: Path) -> bool:
    """Return whether tests of a module run on each database."""
    return area_of(path) in ON_EACH_DATABASE or is_marked(path)


def pytest_ignore_collect(collection_path, config):
    # Each worker collects all tests, which takes seconds. Most have nothing to do with a server.
    is_module = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if is_module and config.getoption("markexpr").startswith("database"):
        return None if has_database_tests(collection_path) else True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config, items):
    # Before pytest looks which tests `-m` selects.
    for item in items:
        if area_of(item.path) in ON_EACH_DATABASE:
            item.add_marker(pytest.mark.database)
        if name_of(item.path) in ON_ONE_SERVER:
            item.add_marker(pytest.mark.one_server)
        if "sqlite_template" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.alone)
    yield
    # After they were selected and shuffled.
    items[:] = longest_first(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    # The tests and all that they import stay until the end. Python would look through them again
    # and again for what can be freed, which takes 0.1 to 0.2 seconds each time.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def longest_first(items, workers):
    """Return ``items`` so that each of ``workers`` begins its share with those that take long.

    pytest-xdist gives each worker an equal part of the list, and then moves tests from the end of
    a busy worker's part to idle ones. A long test at the end of the run would leave them idle.
    """
    long, short = [], []
    for item in items:
        is_long = LONG & {area_of(item.path), name_of(item.path)}
        (long if is_long else short).append(item)
    return [
        item
        for worker in range(workers)
        for some in (long, short)
        for item in some[len(some) * worker // workers : len(some) * (worker + 1) // workers]
    ]


@pytest.fixture(autouse=True, scope="session")
def _tables_are_emptied_quickly():
    """Empty the tables after each test that commits, but not by Django's ``flush``."""

    def empty_all(case):
        for using in case._databases_names(include_mirrors=False):
            empty(using)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_all)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Create the test database, and drop it although a thread is still closing its connection."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(autouse=True, scope="module")
def _abandoned_tasks_are_logged(request):
    """Have asyncio log the tasks that functions of this module have left behind, before others."""
    yield
    # It logs an error with its traceback when a task is collected. Python 3.11 parses source for
    # that, and cannot do so in the middle of ast.parse(), with which other tests read the code.
    if hasattr(request.module, "leaving"):
        gc.collect()


@pytest.fixture(autouse=True)
def _no_model_stays():
    """Fail the test whose model stays in an app: tests after it would migrate the model."""
    before = _models()
    yield
    assert _models() == before


@pytest.fixture(autouse=True)
def _clock_is_read(request):
    """Read the database's clock before the test: no count of queries depends on its age."""
    with clock.use(clock.DatabaseClock(trusted_for=3600)):
        if uses_database(request):
            clock.now("default")
        yield


def uses_database(request):
    """Set up the database if the test asked for it, and return whether it did."""
    names = {"db", "transactional_db"} & set(request.fixturenames)
    for name in names:
        request.getfixturevalue(name)
    return bool(names)


@pytest.fixture(autouse=True)
def _small_tables_match_the_ledger(request):
    """Fail the test after which the ledger and its small tables say different things."""
    # Set up before this, so that the rows are still there after the test.
    is_concerned = uses_database(request)
    yield
    if is_concerned and not request.node.get_closest_marker("mismatched"):
        assert disagreements() == []


def _models():
    return {label: set(apps.all_models[label]) for label in apps.app_configs}


@pytest.fixture
def clocks(monkeypatch):
    """Let the database's clock and the steady one be set by the test."""
    clocks = TwoClocks()
    monkeypatch.setattr(clock, "steady", lambda: clocks.seconds)
    with clock.use(clocks):
        yield clocks


@pytest.fixture
def at_time():
    """Return a function that lets it be a certain moment for the rest of the test."""
    with ExitStack() as stack:

        def set_time(moment):
            return stack.enter_context(clock_at(moment))

        yield set_time


@pytest.fixture
def now(at_time):
    """Let it be noon, and return the clock, to be set: ``now.moment = …``."""
    return at_time(NOON)


@pytest.fixture
def noon(now):
    """Let it be noon, and stay so."""
    return now


def pytest_report_header():
    scheme = os.environ.get("DATABASE_URL", "sqlite").partition(":")[0]
    database = {"postgresql": "PostgreSQL", "mysql": "MariaDB", "sqlite": "SQLite"}[scheme]
    layer = "Valkey" if "VALKEY_URL" in os.environ else "in-memory layer"
    return f"sisy on {database}, {layer}"
