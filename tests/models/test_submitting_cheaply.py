"""What submissions leave out does not show."""

import pytest

from sisy import clock
from sisy.models import Run, Task
from tests.app import jobs
from tests.support.moments import NOON

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("noon")
def test_empty_user_data_can_be_filled_in_place_and_saved():
    task, other = Task.run_once(jobs.noop), Task.run_once(jobs.noop)
    task.userdata["n"] = 1
    assert task.changed_columns() == {"_extra_data"}
    task.save()
    assert Task.objects.get(pk=task.pk).userdata == {"n": 1}
    assert (other.userdata, Run.objects.get(task=task).payload) == ({}, {})


@pytest.mark.parametrize("wrong", [[], (), "", 0, False])
def test_empty_user_data_that_is_not_a_dict_is_rejected(wrong):
    with pytest.raises(ValueError, match="userdata must be a dict"):
        Task.run_once(jobs.noop, wrong)
    with pytest.raises(ValueError, match=r"userdata\[1\] must be a dict"):
        Task.bulk_run_once(jobs.noop, [{}, wrong])


def test_a_reading_of_the_clock_is_trusted_for_seconds_and_no_longer(monkeypatch):
    at, read = [100.0], []
    monkeypatch.setattr(clock, "steady", lambda: at[0])
    now = clock.DatabaseClock()
    monkeypatch.setitem(clock.NOW_SQL, "sqlite", "1")

    def look(using, sql):
        read.append(at[0])
        now._readings[using] = clock.Reading(at[0], NOON, 0.0, None)
        return now._readings[using]

    monkeypatch.setattr(now, "_read", look)
    for moment in (100, 105, 105.001, 110, 110.002):
        at[0] = moment
        assert (now.now("default") - NOON).total_seconds() == pytest.approx(moment - read[-1])
    assert read == [100, 105.001, 110.002]
