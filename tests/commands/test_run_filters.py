"""Filters of runs that are not valid, or that name nothing."""

import pytest
from django.core.management import CommandError

from tests.app import jobs
from tests.commands.calling import said
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (
            "--task tee",
            "No runs match. No task has the key, name or label 'tee'. Did you mean 'tea'?",
        ),
        (
            "--queue defualt",
            "No runs match. No task, run or worker uses a queue named 'defualt'. Did you mean "
            "'default'?",
        ),
        ("--function nop", "No runs match. No task calls 'nop'. Did you mean 'noop'?"),
        ("--task xyz", "No runs match. No task has the key, name or label 'xyz'."),
    ],
)
def test_a_list_without_runs_names_what_was_probably_meant(options, hint):
    scheduled(label="tea", fn=jobs.noop)
    with pytest.raises(CommandError) as raised:
        said(f"sisy_runs list {options}")
    assert str(raised.value) == hint
    assert said("sisy_runs list --text nothing") == "No runs match.\n"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("--worker nowhere", "No host or worker is named 'nowhere'"),
        ("--since 2031-01-01", "--since is in the future: 2031-01-01 00:00:00 UTC."),
        ("--since soon", "'soon' is not a valid date and time. Use a duration, such as 30m"),
        ("--since 999999d", "'999999d' is too long ago"),
        ("--since 1h --until 2h", r"--since \(2026-\S+ \S+ UTC\) is not before --until"),
        ("--state fail", r"'fail' is not valid\. Did you mean 'failed'\? Use one of queued, "),
        ("--origin scheduled", r"'scheduled' is not valid\. Did you mean 'schedule'\?"),
    ],
)
def test_a_filter_that_is_not_valid_is_rejected(options, error):
    with pytest.raises(CommandError, match=error):
        said(f"sisy_runs list {options}")
