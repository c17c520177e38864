# ruff: noqa: E501 - messages are asserted whole
"""What each column refuses, in which words, and what it takes."""

from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from sisy.exceptions import CallableError, ScheduleError
from sisy.models import Task
from tests.app import jobs
from tests.support.moments import HOUR, NOON, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


WHOLE = "must be a whole number"
SPAN = "must be a timedelta from 0 s to 36500 days"
TIMEOUT = "timeout must be a timedelta from 1 ms to 36500 days"


def made(**fields):
    return Task.calling(jobs.noop, timezone="UTC", **fields)


def with_value(name, value):
    task = made()
    setattr(task, name, value)
    return task


def refusal(name, value, error=ValueError):
    """Return the words in which a new and a stored task refuse a value alike."""
    count = Task.objects.count()
    with pytest.raises(error) as for_new:
        with_value(name, value).save()
    assert Task.objects.count() == count
    stored = made()
    stored.save()
    setattr(stored, name, value)
    with pytest.raises(error) as for_stored:
        stored.save()
    assert type(for_new.value) is error
    assert str(for_new.value) == str(for_stored.value)
    return str(for_new.value)


NO_QUEUE = "is not a valid queue name. Use 1 to 60 ASCII letters, digits, '-', '_' or '.'."

REFUSALS = [
    ("label", "", "label must be a string of 1 to 255 characters, not ''."),
    ("label", "a\0b", "label must be a string of 1 to 255 characters, not 'a\\x00b'."),
    ("label", 7, "label must be a string of 1 to 255 characters, not 7."),
    (
        "label",
        "a" * 256,
        f"label must be a string of 1 to 255 characters, not {'a' * 256!r:.80}.",
    ),
    ("start_running", "2026-05-06", "start_running must be a datetime, not '2026-05-06'."),
    (
        "start_running",
        datetime(2026, 5, 6),
        "start_running must be an aware datetime, but datetime.datetime(2026, 5, 6, 0, 0) has no time zone. "
        "Use django.utils.timezone.make_aware(start_running), or pass a tzinfo.",
    ),
    (
        "end_running",
        datetime(2026, 5, 6),
        "end_running must be an aware datetime, but datetime.datetime(2026, 5, 6, 0, 0) has no time zone. "
        "Use django.utils.timezone.make_aware(end_running), or pass a tzinfo.",
    ),
    ("iterations", 0, f"iterations {WHOLE} from 1 to 2147483647, not 0."),
    ("iterations", -1, f"iterations {WHOLE} from 1 to 2147483647, not -1."),
    ("iterations", 2**31, f"iterations {WHOLE} from 1 to 2147483647, not 2147483648."),
    ("iterations", 1.0, f"iterations {WHOLE} from 1 to 2147483647, not 1.0."),
    ("iterations", True, f"iterations {WHOLE} from 1 to 2147483647, not True."),
    ("priority", 101, f"priority {WHOLE} from -100 to 100, not 101."),
    ("priority", -101, f"priority {WHOLE} from -100 to 100, not -101."),
    ("priority", None, f"priority {WHOLE} from -100 to 100, not None."),
    ("max_attempts", 0, f"max_attempts {WHOLE} from 1 to 1000, not 0."),
    ("max_attempts", 1001, f"max_attempts {WHOLE} from 1 to 1000, not 1001."),
    ("max_attempts", "3", f"max_attempts {WHOLE} from 1 to 1000, not '3'."),
    ("retry_backoff", 0.5, "retry_backoff must be a number from 1 to 100, not 0.5."),
    ("retry_backoff", 101, "retry_backoff must be a number from 1 to 100, not 101."),
    ("retry_backoff", float("nan"), "retry_backoff must be a number from 1 to 100, not nan."),
    ("retry_backoff", True, "retry_backoff must be a number from 1 to 100, not True."),
    ("retry_backoff", "2", "retry_backoff must be a number from 1 to 100, not '2'."),
    ("retry_delay", 10, f"retry_delay {SPAN}, not 10."),
    ("retry_delay", None, f"retry_delay {SPAN}, not None."),
    ("retry_delay", -SECOND, f"retry_delay {SPAN}, not {-SECOND!r}."),
    ("retry_max_delay", -SECOND, f"retry_max_delay {SPAN}, not {-SECOND!r}."),
    ("timeout", timedelta(0), f"{TIMEOUT}, not {timedelta(0)!r}."),
    ("retry_delay", timedelta.max, f"retry_delay {SPAN}, not {timedelta.max!r}."),
    ("timeout", 30, f"{TIMEOUT}, not 30."),
    ("timeout", -SECOND, f"{TIMEOUT}, not {-SECOND!r}."),
    ("missed_window", -SECOND, f"missed_window {SPAN}, not {-SECOND!r}."),
    ("spread", None, f"spread {SPAN}, not None."),
    ("spread", -SECOND, f"spread {SPAN}, not {-SECOND!r}."),
    (
        "missed",
        "lates",
        "missed must be one of 'latest', 'all', 'skip', not 'lates'. Did you mean 'latest'?",
    ),
    ("missed", None, "missed must be one of 'latest', 'all', 'skip', not None."),
    (
        "overlap",
        "buffer_al",
        "overlap must be one of 'skip', 'allow', 'buffer_one', 'buffer_all', 'cancel_other', "
        "'terminate_other', not 'buffer_al'. Did you mean 'buffer_all'?",
    ),
    (
        "on_lost",
        "fial",
        "on_lost must be one of 'rerun', 'fail', not 'fial'. Did you mean 'fail'?",
    ),
    (
        "queue",
        "",
        f"'' {NO_QUEUE}",
    ),
    (
        "queue",
        "two words",
        f"'two words' {NO_QUEUE}",
    ),
    (
        "queue",
        "lángsam",
        f"'lángsam' {NO_QUEUE}",
    ),
    ("_extra_data", [1], "userdata must be a dict, not list."),
    (
        "_extra_data",
        {"a": float("inf")},
        "userdata must be serializable as JSON: Out of range float values are not JSON compliant: inf.",
    ),
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSALS)
def test_a_value_that_does_not_fit_its_column_is_rejected_in_words(name, value, message):
    if "Out of range" in message:  # Python 3.11 does not name the number
        assert refusal(name, value).startswith(message.rpartition(":")[0])
    else:
        assert refusal(name, value) == message


def test_invalid_schedules_and_zones_get_the_schedules_message():
    assert refusal("schedule", "61 * * * *", ScheduleError) == (
        "minute: 61 is out of range. Use 0 to 59."
    )
    assert refusal("schedule", "", ScheduleError).startswith("The schedule '' has 0 fields")
    assert refusal("schedule", None, ScheduleError).startswith("A schedule must be a string")
    assert refusal("timezone", "Europe/Berlim", ScheduleError) == (
        "Unknown time zone 'Europe/Berlim'. Did you mean 'Europe/Berlin'?"
    )


def test_invalid_targets_get_the_message_of_callables():
    assert refusal("target_path", "tests.app.jobs.two_parameters", CallableError) == (
        "tests.app.jobs.two_parameters must take exactly one parameter, named message, but it takes: message, other."
    )
    assert "Remove pk_override." in refusal("target_pk", "7", CallableError)


@pytest.mark.parametrize("end", [NOON + HOUR, NOON + HOUR - SECOND])
def test_a_window_that_ends_before_it_starts_is_rejected(end):
    task = made(start_running=NOON + HOUR, end_running=end)
    with pytest.raises(ValueError) as caught:
        task.save()
    assert str(caught.value).startswith(f"end_running ({end.isoformat()}) must be after")


def test_a_start_that_is_moved_after_the_end_is_rejected():
    task = made(end_running=NOON + HOUR)
    task.save()
    task.start_running = NOON + HOUR
    with pytest.raises(ValueError, match="must be after"):
        task.save()


def test_a_window_without_an_occurrence_is_rejected_and_nothing_stored():
    task = made(schedule="0 0 * * *", start_running=NOON + HOUR, end_running=NOON + 2 * HOUR)
    with pytest.raises(ValueError) as caught:
        task.save()
    assert str(caught.value).startswith("'0 0 * * *' has no future occurrence")
    assert not Task.objects.exists()


def test_a_window_with_one_occurrence_at_its_start_is_valid():
    made(schedule="0 * * * *", start_running=NOON + HOUR, end_running=NOON + HOUR + SECOND).save()
    assert Task.objects.get().next_run == NOON + HOUR


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 1),
        ("iterations", 2**31 - 1),
        ("priority", -100),
        ("priority", 100),
        ("max_attempts", 1000),
        ("retry_backoff", 1),
        ("retry_backoff", 100.0),
        ("timeout", timedelta(milliseconds=1)),
        ("spread", timedelta(days=36_500)),
        ("timeout", None),
        ("missed_window", None),
        ("queue", "a" * 60),
        ("queue", "A-b_c.9"),
        ("label", "ü" * 255),
    ],
)
def test_values_at_the_limits_are_accepted(name, value):
    with_value(name, value).save()
    assert getattr(Task.objects.get(), name) == value


def test_a_form_shows_every_problem_at_its_field():
    task = made(label="a", queue="a b", max_attempts=0)
    with pytest.raises(ValidationError) as caught:
        task.clean()
    assert set(caught.value.message_dict) == {"queue", "max_attempts"}


def test_only_changed_fields_are_validated_again():
    """A task whose code moved can still be paused, moved to another queue, or annotated."""
    task = made()
    task.save()
    Task.objects.update(target_path="nowhere.at.all")
    task = Task.objects.get()
    task.queue = "slow"
    task.save()
    assert Task.objects.get().queue == "slow"


def test_the_database_rejects_zero_iterations():
    made().save()
    with pytest.raises(IntegrityError):
        Task.objects.update(iterations=0)
