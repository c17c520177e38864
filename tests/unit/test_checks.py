"""What ``manage.py check`` says of settings and connections."""

import io

import pytest
from django.core.checks import ERROR, run_checks
from django.core.management import call_command
from django.db import connections

from sisy.checks import configuration
from tests.support.checks import ids

IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
REDIS = "channels_redis.core.RedisChannelLayer"


@pytest.fixture
def as_database(monkeypatch):
    """Return a function that lets the default database have other settings."""

    def pretend(vendor, **settings):
        monkeypatch.setattr(connections["default"], "vendor", vendor)
        defaults = {"NAME": "db", "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False, "OPTIONS": {}}
        monkeypatch.setattr(connections["default"], "settings_dict", {**defaults, **settings})
        return configuration.check_connections()

    return pretend


def test_a_valid_project_causes_no_check_message():
    assert run_checks(tags=["sisy"]) == []


def test_an_unknown_setting_gets_a_warning_with_the_nearest_name(settings):
    settings.SISY_HEARTBEAT_FREQUENZY = 10
    [warning] = configuration.check_settings()
    assert (warning.id, warning.obj) == ("sisy.W001", "SISY_HEARTBEAT_FREQUENZY")
    assert warning.msg == "Unknown Sisy setting."
    assert warning.hint == "Did you mean SISY_HEARTBEAT_FREQUENCY?"


def test_an_invalid_callable_in_the_settings_gets_a_warning(settings):
    settings.SISY_CALLABLES = [
        "tests.app.jobs.noop",
        "tests.app.models.Counter.tick",
        "tests.app.jobs.gone",
        "tests.app.jobs.two_parameters",
    ]
    warnings = configuration.check_settings()
    assert ids(warnings) == ["sisy.W011", "sisy.W011"]
    assert [warning.msg for warning in warnings] == [
        "tests.app.jobs.gone does not exist: the module tests.app.jobs has no 'gone'.",
        "tests.app.jobs.two_parameters must take exactly one parameter, named message, but it "
        "takes: message, other.",
    ]


def test_an_unknown_setting_without_a_near_name_lists_all_names(settings):
    settings.SISY_XYZZY = 10
    [warning] = configuration.check_settings()
    assert warning.hint.startswith(
        "Valid settings: SISY_HEARTBEAT_FREQUENCY, SISY_DEFAULT_SCHEDULE, "
    )


def test_a_heartbeat_frequency_out_of_range_is_an_error(settings):
    settings.SISY_HEARTBEAT_FREQUENCY = 0
    [error] = configuration.check_settings()
    assert (error.id, error.level) == ("sisy.E001", ERROR)
    assert error.msg == "SISY_HEARTBEAT_FREQUENCY must be a number from 1 to 3600, not 0."


def test_every_unusable_setting_is_named_at_once(settings):
    settings.SISY_POLL_INTERVAL = "1"
    settings.SISY_RUN_TASK_CHANNEL = ""
    assert ids(configuration.check_settings()) == ["sisy.E001", "sisy.E001"]


def test_an_invalid_default_schedule_is_an_error(settings):
    settings.SISY_DEFAULT_SCHEDULE = "61 * * * *"
    [error] = configuration.check_settings()
    assert (error.id, error.obj) == ("sisy.E002", "SISY_DEFAULT_SCHEDULE")
    assert error.msg == "minute: 61 is out of range. Use 0 to 59."


@pytest.mark.parametrize(
    ("engines", "words"),
    [
        ({"heavy": "celery"}, "'celery', which is not an alias in TASKS"),
        ({"default": "default"}, "'default', whose backend is Sisy itself"),
        ({"own": "sisy", "heavy": "patient"}, "'patient', whose backend is Sisy itself"),
    ],
)
def test_an_engine_must_be_another_backend(settings, engines, words):
    settings.SISY_ENGINES = engines
    [error] = configuration.check_settings()
    assert (error.id, error.obj, error.level) == ("sisy.E008", "SISY_ENGINES", ERROR)
    assert words in error.msg
    assert "'sisy'" in error.hint
    assert "default" not in error.hint
    settings.TASKS = {"sisy": settings.TASKS["default"]}
    settings.SISY_ENGINES = {"own": "sisy"}
    assert configuration.check_settings() == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("shop.Jobs", "No module named 'shop'"),
        ("tests.app.jobs.Jobs", "does not define"),
        ("tests.app.jobs.noop", "'tests.app.jobs.noop' is not a dashboard class."),
    ],
)
def test_an_invalid_dashboard_is_an_error(settings, path, words):
    settings.SISY_DASHBOARD = path
    [error] = configuration.check_settings()
    assert (error.id, error.obj) == ("sisy.E005", "SISY_DASHBOARD")
    assert words in error.msg


def test_a_projects_own_dashboard_is_valid(settings):
    settings.SISY_DASHBOARD = "tests.dashboard.test_live.OnlyForRunWatchers"
    assert configuration.check_settings() == []


def test_a_project_without_a_time_zone_is_an_error(settings, monkeypatch):
    monkeypatch.setattr(configuration.django_settings, "TIME_ZONE", None)
    [error] = configuration.check_settings()
    assert (error.id, error.obj) == ("sisy.E002", "TIME_ZONE")


def test_persistent_connections_without_health_checks_get_a_warning(as_database):
    [warning] = as_database("postgresql", CONN_MAX_AGE=60)
    assert (warning.id, warning.obj) == ("sisy.W006", "DATABASES['default']")
    assert ids(as_database("postgresql", CONN_MAX_AGE=None)) == ["sisy.W006"]
    assert ids(as_database("postgresql", OPTIONS={"pool": True})) == ["sisy.W006"]


def test_checked_or_short_lived_connections_are_fine(as_database):
    assert as_database("postgresql") == []
    assert as_database("postgresql", CONN_MAX_AGE=60, CONN_HEALTH_CHECKS=True) == []


def test_sqlite_by_default_gets_a_warning_with_the_options_to_set(as_database):
    [warning] = as_database("sqlite")
    assert warning.id == "sisy.W007"
    assert "without 'transaction_mode': 'IMMEDIATE' and without journal_mode=WAL" in warning.msg
    assert as_database("sqlite", OPTIONS=configuration.SQLITE_OPTIONS) == []
    assert str(configuration.SQLITE_OPTIONS) in warning.hint


def test_the_sqlite_warning_names_only_missing_options(as_database):
    [warning] = as_database("sqlite", OPTIONS={"init_command": "pragma journal_mode = wal"})
    assert "IMMEDIATE" in warning.msg
    assert "WAL" not in warning.msg
    [warning] = as_database("sqlite", OPTIONS={"transaction_mode": "immediate"})
    assert "IMMEDIATE" not in warning.msg
    assert "WAL" in warning.msg


def test_sqlite_in_memory_needs_no_journal_option(as_database):
    assert as_database("sqlite", NAME=":memory:") == []
    assert as_database("sqlite", NAME="file:memorydb_default?mode=memory&cache=shared") == []


@pytest.mark.django_db  # of Django's own checks, some ask SQLite what it can do
def test_manage_py_check_shows_a_problem_with_its_fix(settings):
    settings.SISY_LEASE_SECOND = 10
    shown = io.StringIO()
    call_command("check", stderr=shown, stdout=shown, no_color=True)
    assert (
        "SISY_LEASE_SECOND: (sisy.W001) Unknown Sisy setting.\n"
        "\tHINT: Did you mean SISY_LEASE_SECONDS?"
    ) in shown.getvalue()


@pytest.mark.parametrize("level", ["repeatable read", "SERIALIZABLE", None])
def test_mysql_with_another_isolation_level_is_an_error(as_database, level):
    [error] = as_database("mysql", OPTIONS={"isolation_level": level})
    assert (error.id, error.level) == ("sisy.E004", ERROR)
    assert f"is {level!r}, but Sisy needs 'read committed'" in error.msg


@pytest.mark.parametrize("options", [{}, {"isolation_level": "READ COMMITTED"}])
def test_mysql_with_djangos_defaults_is_valid(as_database, options):
    assert as_database("mysql", OPTIONS=options) == []
