"""A filter without a value, such as that of an unset shell variable, never chooses all runs."""

import pytest
from django.core.management import CommandError

from sisy.management.run_filters import FILTERS
from sisy.models import Run, RunState
from tests.commands.calling import said
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

TEXTS = [name for name in FILTERS if name not in ("state", "origin")]  # those have fixed values


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("verb", ["cancel --yes", "retry --yes", "list"])
def test_an_empty_filter_is_rejected(verb, name):
    scheduled().run_now()
    more = "--origin manual" if verb == "list" else "--state queued"
    with pytest.raises(CommandError, match=f"--{name} is empty"):
        said(f"sisy_runs {verb} {more} --{name} ''")
    assert Run.objects.get().state == RunState.QUEUED
