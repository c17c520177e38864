"""What becomes of an alert that a person closed by mistake and opens again?"""

import pytest

from sisy import signals
from sisy.models import Alert

pytestmark = pytest.mark.django_db


@pytest.fixture
def failing(site):
    """A task with an alert that people were notified of, and that a person closed."""
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    Alert.objects.close("ann", site.now)
    return task


def test_a_reopened_alert_is_as_it_was_before_and_sends_no_message(site, failing):
    began = Alert.objects.get().since
    assert Alert.objects.reopen() == 1
    alert = Alert.objects.open().get()
    assert (alert.closed_at, alert.closed_by, alert.close_reason) == (None, "", "")
    assert (alert.since, alert.open_key) == (began, f"failing:task:{failing.pk}")
    site.restart()
    site.later(15 * 60)
    assert site.open_kinds() == ["failing"]
    assert [event for event, _ in site.told()] == ["opened"]


def test_who_got_the_message_that_it_is_open_gets_the_one_that_it_is_over(site, failing):
    Alert.objects.reopen()
    site.run(failing)
    site.restart()
    site.later(60)
    assert site.open_kinds() == []
    assert [event for event, _ in site.told()] == ["opened", "recovered"]


def test_the_end_of_an_alert_without_a_message_has_no_message_either(site):
    task = site.idle_task()
    site.fail(task)
    site.later(15)
    assert site.told() == []
    assert Alert.objects.close("ann", site.now) == 1
    assert Alert.objects.reopen() == 1
    site.later(60)
    site.run(task)
    site.restart()
    site.later(60)
    assert site.open_kinds() == []
    assert site.told() == []


def test_an_alert_whose_problem_is_over_closes_again(site, failing):
    site.run(failing)
    site.restart()
    site.later(20 * 60)
    assert Alert.objects.reopen() == 1
    site.restart()
    site.later(60)
    assert Alert.objects.get().close_reason == "The latest run succeeded."


def test_an_alert_that_recovered_or_is_open_is_not_reopened(site):
    task = site.idle_task()
    site.fail(task)
    site.later(45)
    assert Alert.objects.reopen() == 0
    site.run(task)
    site.restart()
    site.later(60)
    assert Alert.objects.reopen() == 0
    assert site.open_kinds() == []


def test_a_problem_never_has_two_open_alerts(site, failing):
    other = site.idle_task(label="other")
    site.fail(other)
    site.later(45)
    Alert.objects.close("ann", site.now)
    site.fail(failing)
    site.later(45)
    # An alert about the first task is open, which stops only the closed one about that.
    assert Alert.objects.closed().count() == 2
    assert Alert.objects.reopen() == 1
    assert sorted(Alert.objects.open().values_list("task_id", flat=True)) == sorted(
        [failing.pk, other.pk]
    )


def test_of_several_alerts_about_a_problem_the_newest_is_reopened(site, failing):
    site.fail(failing)
    site.later(45)
    Alert.objects.close("bob", site.now)
    assert Alert.objects.reopen() == 1
    assert Alert.objects.open().get() == Alert.objects.latest("pk")


def test_a_signal_is_sent_for_each_alert_that_was_reopened(
    site, failing, django_capture_on_commit_callbacks
):
    heard = []

    def receive(sender, alert, **named):
        heard.append((alert.pk, alert.is_open))

    signals.alert_opened.connect(receive)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            Alert.objects.reopen()
            Alert.objects.reopen()
            assert heard == []
    finally:
        signals.alert_opened.disconnect(receive)
    assert heard == [(Alert.objects.get().pk, True)]
