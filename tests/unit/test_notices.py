"""What a message says about an alert survives its way through the outbox."""

import json
from dataclasses import fields

from sisy.alerting.notice import Notice, notices_in, payload_of
from tests.support.moments import HOUR, NOON

FAILING = Notice(kind="failing", problem="failing", what="invoices", since=NOON, why="KeyError")
FULL = Notice(
    kind="slow",
    problem="too slow",
    what="invoices",
    since=NOON,
    ended_at=NOON + HOUR,
    why="It takes 20 min.",
    fix="Look at it.",
    note="Call Ann.",
    severity="warning",
    queue="cpu",
    task=1,
    run=2,
    thread="alert-1",
)


def test_a_notice_is_the_same_after_it_was_stored_as_json():
    stored = json.loads(json.dumps(payload_of([FAILING, FULL])))
    assert notices_in(stored) == [FAILING, FULL]


def test_a_notice_of_a_newer_version_is_read_without_what_is_unknown():
    [stored] = payload_of([FAILING])["notices"]
    assert notices_in({"notices": [stored | {"mood": "bad"}]}) == [FAILING]


def test_a_notice_of_an_older_version_is_read_though_it_lacks_something():
    [stored] = payload_of([FAILING])["notices"]
    needed = {"kind", "problem", "what", "since", "why"}
    assert needed <= {field.name for field in fields(Notice)}
    assert notices_in({"notices": [{name: stored[name] for name in needed}]}) == [FAILING]
