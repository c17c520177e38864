"""A message that cannot be created is logged once, and does not delay the messages after it."""

import queue
from concurrent.futures import wait

import pytest

from sisy.messaging import carriers, channel_layer, messages
from sisy.messaging.carriers import LayerCarrier
from sisy.runtime.log import Outage
from tests.support.notifying import (
    ear,
    notifying,  # noqa: F401 - a fixture
    on_postgresql,
)

GOOD = {"type": "sisy.run_task", "run": 1}


def raises():
    raise LookupError("no such message")


CANNOT_BE_MADE = {
    "it raises": raises,
    "it is no JSON": lambda: {"run": object()},
    "it is too long": lambda: {"run": "x" * messages.MAX_NOTIFY_PAYLOAD},
}


class RecordingLayer:
    def __init__(self):
        self.sent = queue.SimpleQueue()

    async def send(self, channel, message):
        self.sent.put((channel, message))

    group_send = send


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("notifying")
@pytest.mark.parametrize("reason", CANNOT_BE_MADE)
def test_by_notify_the_letters_behind_it_are_sent(reason, caplog):
    post = carriers.notify_post()
    with ear("sisy.bad", "sisy.good") as heard:
        bad = post.send("sisy.bad", CANNOT_BE_MADE[reason], 0.1)  # so that both leave together
        post.send("sisy.good", lambda: GOOD, 0.1)
        assert heard.next() == [("sisy.good", GOOD)]
        post.send("sisy.good", lambda: GOOD)
        assert heard.next() == [("sisy.good", GOOD)]
        assert heard.all(seconds=0.3) == []
    # Whoever waits for it need not wait, and it is not tried again.
    assert wait([bad], timeout=30).done
    assert len(caplog.records) == 1
    assert "Could not create a message for sisy.bad" in caplog.text
    assert not post._outage.failures


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("notifying")
def test_a_process_that_ends_does_not_wait_for_it():
    post = carriers.notify_post()
    post.send("sisy.bad", raises)
    carriers.close()
    assert not post._thread.is_alive()


def test_by_a_layer_it_is_not_an_outage_of_the_layer(monkeypatch, caplog):
    monkeypatch.setattr(channel_layer, "_outage", Outage("The channel layer"))
    layer = RecordingLayer()
    carrier = LayerCarrier(layer)
    assert wait([carrier.send("sisy.bad", raises)], timeout=30).done
    carrier.publish("sisy.bad group", raises)
    assert wait([carrier.send("sisy.good", lambda: GOOD)], timeout=30).done
    assert layer.sent.get(timeout=30) == ("sisy.good", GOOD)
    assert layer.sent.empty()
    assert not channel_layer._outage.failures
    assert caplog.text.count("Could not create a message for sisy.bad") == 2
    assert "The channel layer failed" not in caplog.text


async def test_in_memory_it_is_not_an_outage_either(monkeypatch, caplog):
    monkeypatch.setattr(channel_layer, "_outage", Outage("The channel layer"))
    await channel_layer._send_here("sisy.bad", raises)
    assert "Could not create a message for sisy.bad" in caplog.text
    assert not channel_layer._outage.failures
