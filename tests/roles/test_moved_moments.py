"""Messages are sent when a mute ends or is shortened, and after the clock was set back."""

from datetime import timedelta

import pytest

from sisy.alerting import sending
from sisy.models import Alert, OutboxMessage
from tests.support.messages import post
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND

pytestmark = pytest.mark.django_db


def test_a_mute_that_is_shortened_ends_at_its_new_end(site):
    site.fail(site.idle_task(label="import"))
    while not Alert.objects.exists():
        site.later(1)
    Alert.objects.mute(site.now + DAY, "ann")
    site.later(60)
    assert site.told() == []
    Alert.objects.mute(site.now + 5 * MINUTE, "ann")
    site.later(7 * 60)
    assert site.told() == [("opened", [("failing", "import")])]


@pytest.mark.parametrize("step", [HOUR, 3 * DAY])
def test_an_alert_is_reported_although_the_clock_was_set_back_after_it(site, step):
    site.fail(site.idle_task(label="import"))
    while not Alert.objects.exists():
        site.later(1)
    site.clocks.go_on(-step, SECOND)
    site.later(3 * 60)
    assert site.told() == [("opened", [("failing", "import")])]


def test_a_message_is_due_although_the_clock_was_set_back_after_its_attempt(settings):
    settings.SISY_ALERTS = ["https://example.com/hook"]
    post()
    OutboxMessage.objects.update(next_attempt_at=NOON + sending.MAX_DELAY)
    [name] = OutboxMessage.objects.values_list("channel", flat=True)
    assert sending.due_channels("default", NOON) == []
    assert sending.claim("default", NOON, name) is None
    before = NOON - timedelta(days=3)
    assert sending.due_channels("default", before) == [name]
    assert sending.claim("default", before, name) is not None
