"""The settings of a project, read once and checked."""

import dataclasses
from datetime import timedelta

import pytest
from channels.layers import BaseChannelLayer
from django.test import override_settings

from sisy import conf
from sisy.exceptions import SettingsError


def test_the_defaults_are_those_of_the_manual():
    settings = conf.get_settings()
    assert (settings.heartbeat_frequency, settings.default_schedule) == (60, "* * * * *")
    assert settings.heartbeat_channel == "sisy.heartbeat"
    assert settings.run_task_channel == "sisy.run_task"


def test_a_setting_of_the_project_is_read(settings):
    settings.SISY_HEARTBEAT_FREQUENCY = 5
    assert conf.get_settings().heartbeat_frequency == 5


def test_a_setting_that_is_overridden_is_read_again_and_then_forgotten():
    assert conf.get_settings().poll_interval == 1
    with override_settings(SISY_POLL_INTERVAL=2):
        assert conf.get_settings().poll_interval == 2
    assert conf.get_settings().poll_interval == 1


def test_settings_are_read_once(monkeypatch):
    before = conf.get_settings()
    monkeypatch.setattr(conf.django_settings, "SISY_POLL_INTERVAL", 2, raising=False)
    assert conf.get_settings() is before


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        conf.get_settings().lost_limit = 5


WHOLE = {field.name for field in dataclasses.fields(conf.Settings) if field.type is int}


@pytest.mark.parametrize("field", sorted(WHOLE))
def test_a_count_must_be_an_integer(settings, field):
    setattr(settings, f"SISY_{field.upper()}", 1.5)
    with pytest.raises(SettingsError, match=r"must be a whole number from .*, not 1\.5\."):
        conf.get_settings()


@pytest.mark.parametrize(("field", "limits"), conf.RANGES.items())
def test_a_number_may_lie_at_its_limits_and_not_beyond(settings, field, limits):
    name = f"SISY_{field.upper()}"
    least, most = limits
    for value in limits:
        setattr(settings, name, value)
        assert getattr(conf.get_settings(), field) == value
    what = "a whole number" if field in WHOLE else "a number"
    for value in (least - 0.001, least - 1, most + 1, float("inf"), True, "5"):
        setattr(settings, name, value)
        with pytest.raises(SettingsError) as caught:
            conf.get_settings()
        assert str(caught.value) == f"{name} must be {what} from {least} to {most}, not {value!r}."


@pytest.mark.parametrize("value", ["60", None, True, [60]])
def test_text_is_rejected_for_a_number(settings, value):
    settings.SISY_HEARTBEAT_FREQUENCY = value
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    assert str(caught.value) == (
        f"SISY_HEARTBEAT_FREQUENCY must be a number from 1 to 3600, not {value!r}."
    )


def test_nan_is_rejected_for_a_number(settings):
    settings.SISY_LEASE_SECONDS = float("nan")
    with pytest.raises(SettingsError, match="must be a number from 5 to 3600, not nan"):
        conf.get_settings()


@pytest.mark.parametrize("value", ["", None, 7])
def test_a_non_string_is_rejected_for_a_text(settings, value):
    settings.SISY_DASHBOARD = value
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    assert str(caught.value) == f"SISY_DASHBOARD must be a non-empty string, not {value!r}."


@pytest.mark.parametrize(("name", "longest"), [("HEARTBEAT", 99), ("RUN_TASK", 38)])
def test_a_channel_has_a_name_that_channels_accepts(settings, name, longest):
    for value in ("a" * longest, "jobs-2.fast_ones"):
        setattr(settings, f"SISY_{name}_CHANNEL", value)
        assert conf.get_settings()
    for value in ("", "a" * (longest + 1), "my jobs", "jöbs", "jobs!", "jobs\n", None, 7):
        setattr(settings, f"SISY_{name}_CHANNEL", value)
        with pytest.raises(SettingsError) as caught:
            conf.get_settings()
        found = str(caught.value)
        assert found.startswith(f"SISY_{name}_CHANNEL must be 1 to {longest} ")
        assert found.endswith(f"not {value!r}.")


def test_the_longest_channel_of_the_longest_queue_fits_into_a_layer(settings):
    settings.SISY_RUN_TASK_CHANNEL = "a" * 38
    channel = conf.get_settings().channel_of("q" * 60)
    assert len(channel) == BaseChannelLayer.MAX_NAME_LENGTH - 1


@pytest.mark.parametrize("value", ["ws/sisy/", "live", "a/b-c_d.e/~f"])
def test_the_live_path_is_a_path(settings, value):
    settings.SISY_LIVE_PATH = value
    assert conf.get_settings().live_path == value


@pytest.mark.parametrize(
    "value", ["", "/", "/ws/", "ws//", "ws?x", "ws/#a", "a b", "wś", "a\n", None]
)
def test_an_invalid_live_path_is_rejected(settings, value):
    settings.SISY_LIVE_PATH = value
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    assert str(caught.value).startswith("SISY_LIVE_PATH must be a path")
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(conf.Settings)])
def test_no_value_of_any_setting_makes_reading_it_fail(settings, field):
    for value in (None, "", 0, -1, 1.5, True, b"x", [], [""], {}, {1: 2}, object(), 10**400):
        setattr(settings, f"SISY_{field.upper()}", value)
        usable = conf.usable_settings()
        if conf.problems():
            assert getattr(usable, field) == getattr(conf.Settings(), field)


@pytest.mark.parametrize("value", ["shop.jobs.greet", [7], None])
def test_an_invalid_list_of_paths_is_rejected(settings, value):
    settings.SISY_CALLABLES = value
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    assert str(caught.value) == f"SISY_CALLABLES must be a list of dotted paths, not {value!r}."


def test_a_list_of_paths_is_kept_unchangeable(settings):
    settings.SISY_CALLABLES = ["shop.jobs.greet"]
    assert conf.get_settings().callables == ("shop.jobs.greet",)


def test_every_number_has_a_range():
    numbers = {
        field.name
        for field in dataclasses.fields(conf.Settings)
        if type(field.default) in (int, float)
    }
    assert conf.RANGES.keys() == numbers


def test_every_problem_is_found_at_once(settings):
    settings.SISY_HEARTBEAT_FREQUENCY = 0
    settings.SISY_LOST_LIMIT = -1
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    assert str(caught.value) == " ".join(conf.problems())
    assert [problem.partition(" ")[0] for problem in conf.problems()] == [
        "SISY_HEARTBEAT_FREQUENCY",
        "SISY_LOST_LIMIT",
    ]


def test_unknown_names_are_reported_with_the_nearest_known_one(settings):
    settings.SISY_DEFAULT_SCHEDULES = "* * * * *"
    settings.SISY_XYZZY = 1
    assert list(conf.unknown_names()) == [
        ("SISY_DEFAULT_SCHEDULES", "SISY_DEFAULT_SCHEDULE"),
        ("SISY_XYZZY", None),
    ]


def test_each_queue_has_a_channel(settings):
    settings.SISY_RUN_TASK_CHANNEL = "jobs"
    assert conf.get_settings().channel_of("default") == "jobs"
    assert conf.get_settings().channel_of("slow") == "jobs.slow"


def test_the_lease_is_a_timedelta(settings):
    settings.SISY_LEASE_SECONDS = 7.5
    assert conf.get_settings().lease == timedelta(seconds=7.5)


def test_the_version_may_be_an_unset_variable(settings):
    settings.SISY_VERSION = None
    assert conf.get_settings().version is None
    settings.SISY_VERSION = " 2026.11 (a1b2c3d) "
    assert conf.get_settings().version == "2026.11 (a1b2c3d)"


@pytest.mark.parametrize("value", [14, "two\nlines", "x" * 101])
def test_a_version_is_a_short_text_on_one_line(settings, value):
    settings.SISY_VERSION = value
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    expected = "a string of up to 100 characters on one line, or None"
    assert str(caught.value) == f"SISY_VERSION must be {expected}, not {value!r}."
