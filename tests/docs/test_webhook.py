"""The manual's view for webhooks accepts what Sisy sends, once, and nothing else."""

import json
from datetime import timedelta

import pytest
from django.test import RequestFactory

from sisy import clock
from sisy.alerting.webhook import body_of, headers_of
from tests.docs.pages import DOCS, blocks_of
from tests.support.messages import message

SECRET = "a-secret-of-the-tests"


@pytest.fixture
def receive(settings):
    settings.SISY_WEBHOOK_SECRET = SECRET
    blocks = blocks_of(DOCS / "howto" / "alerts.md")
    [block] = [block for block in blocks if block.file == "shop/webhook.py"]
    namespace = {}
    exec(block.text, namespace)
    return namespace["receive"]


def sent(key, secret=SECRET, age=timedelta(0), **changes):
    body = body_of(message(key=key))
    now = clock.last_known("default")
    headers = headers_of(key, body, secret, now - age)
    return RequestFactory().post(
        "/", changes.get("body", body), content_type="application/json", headers=headers
    )


def test_a_message_is_accepted_once(receive, capsys):
    assert [receive(sent("alert-docs")).status_code for _ in range(2)] == [200, 200]
    assert capsys.readouterr().out == "[Sisy] Failing: invoices\n"


@pytest.mark.parametrize(
    "forged",
    [
        lambda: sent("alert-1", secret="another-secret-of-theirs"),
        lambda: sent("alert-1", body=json.dumps({"subject": "forged"}).encode()),
        lambda: sent("alert-1", age=timedelta(minutes=6)),
        lambda: RequestFactory().post("/"),
    ],
    ids=["by another secret", "changed", "old", "unsigned"],
)
def test_a_forged_changed_or_old_message_is_rejected(receive, forged):
    assert receive(forged()).status_code == 403
