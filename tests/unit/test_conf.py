"""The settings of a project, read once and checked."""

import dataclasses
from datetime import timedelta

import pytest
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


@pytest.mark.parametrize(("field", "limits"), conf.RANGES.items())
def test_a_number_may_lie_at_its_limits_and_not_beyond(settings, field, limits):
    name = f"SISY_{field.upper()}"
    least, most = limits
    for value in limits:
        setattr(settings, name, value)
        assert getattr(conf.get_settings(), field) == value
    for value in (least - 0.001, most + 1):
        setattr(settings, name, value)
        with pytest.raises(SettingsError) as caught:
            conf.get_settings()
        assert str(caught.value) == (
            f"{name} must lie between {least:g} and {most:g}, not at {value!r}."
        )


@pytest.mark.parametrize("value", ["60", None, True, [60]])
def test_what_is_no_number_is_refused(settings, value):
    settings.SISY_HEARTBEAT_FREQUENCY = value
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    assert str(caught.value) == (
        f"SISY_HEARTBEAT_FREQUENCY must be a number from 1 to 3600, not {value!r}."
    )


def test_what_is_not_a_number_at_all_is_refused_too(settings):
    settings.SISY_LEASE_SECONDS = float("nan")
    with pytest.raises(SettingsError, match="must lie between 5 and 3600, not at nan"):
        conf.get_settings()


@pytest.mark.parametrize("value", ["", None, 7])
def test_what_is_no_text_is_refused(settings, value):
    settings.SISY_RUN_TASK_CHANNEL = value
    with pytest.raises(SettingsError) as caught:
        conf.get_settings()
    assert str(caught.value) == (
        f"SISY_RUN_TASK_CHANNEL must be a text that is not empty, not {value!r}."
    )


@pytest.mark.parametrize("value", ["shop.jobs.greet", [7], None])
def test_what_is_no_list_of_paths_is_refused(settings, value):
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
    assert [problem.partition(" ")[0] for problem in conf.problems()] == [
        "SISY_HEARTBEAT_FREQUENCY",
        "SISY_LOST_LIMIT",
    ]


def test_unknown_names_come_with_the_nearest_known_one(settings):
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


def test_the_lease_is_a_span_of_time(settings):
    settings.SISY_LEASE_SECONDS = 7.5
    assert conf.get_settings().lease == timedelta(seconds=7.5)
