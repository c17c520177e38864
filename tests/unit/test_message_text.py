"""The subject, the text and the HTML of messages."""

from datetime import UTC, datetime, timedelta

import pytest

from sisy.alerting.text import text_of
from sisy.models import Event
from tests.support.messages import message, notice, recovery
from tests.support.moments import NOON

HOSTILE = '<b onclick="x">a\r\nBcc: eve@example.com\x1b[2J{{ 7|add:1 }}'


def test_a_message_says_what_is_wrong_since_when_and_why(settings):
    settings.SISY_SITE_URL = "https://example.com/shop"
    text = text_of(message(Event.OPENED, notice(run=7, task=3, fix="Deploy the fix.")))
    assert text.subject == "[Sisy] Failing: invoices"
    assert text.plain == (
        "Failing: invoices\n"
        f"Since: {NOON:%Y-%m-%d %H:%M:%S} UTC\n"
        "Why: 3 runs in a row failed: KeyError: 'total'\n"
        "Fix: Deploy the fix.\n"
        "Run: 7\n"
        "https://example.com/shop/sisy/runs/7/\n"
    )
    assert '<a href="https://example.com/shop/sisy/runs/7/">' in text.html


def test_a_message_contains_the_note_of_the_task_as_text():
    text = text_of(message(Event.OPENED, notice(note="Call *Ann*.\n<b>Then</b> retry.\x1b[2J")))
    assert "Note: Call *Ann*.\n<b>Then</b> retry.\\x1b[2J\n" in text.plain
    assert "&lt;b&gt;Then&lt;/b&gt; retry." in text.html


def test_a_recovery_says_how_long_the_problem_lasted():
    text = text_of(message(Event.RECOVERED, recovery()))
    assert text.subject == "[Sisy] Recovered: invoices (failing)"
    [until] = [line for line in text.plain.splitlines() if line.startswith("Until: 2026-")]
    assert until.endswith(", after 1 h")


def test_a_recovery_names_the_zone_once_and_rounds_the_duration(settings):
    settings.TIME_ZONE = "Europe/Berlin"
    brief = notice(ended_at=NOON + timedelta(seconds=40.86))
    plain = text_of(message(Event.RECOVERED, brief)).plain
    assert ", after 41 s\n" in plain
    assert plain.count("CET") + plain.count("CEST") == 1
    autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    longer = notice(since=autumn, ended_at=autumn + timedelta(hours=1))
    plain = text_of(message(Event.RECOVERED, longer)).plain
    assert "Since: 2026-10-25 02:30:00 CEST\nUntil: 2026-10-25 02:30:00 CET, after 1 h" in plain


def test_a_digest_counts_its_alerts_by_kind_and_shows_each():
    late = notice(kind="late", problem="late", what="imports")
    text = text_of(message(Event.DIGEST, *[notice(what=f"task {n}") for n in range(11)], late))
    assert text.subject == "[Sisy] 12 alerts: failing 11, late 1"
    assert text.plain.count("Failing: task ") == 11
    assert "Late: imports" in text.plain


def test_a_digest_says_that_all_of_its_alerts_are_over():
    text = text_of(message(Event.DIGEST, *[recovery()] * 12))
    assert text.subject == "[Sisy] 12 alerts recovered: failing 12"


def test_a_test_names_its_channel():
    text = text_of(message(Event.TEST, channel="on-call"))
    assert text.subject == "[Sisy] Test message"
    assert "'on-call'" in text.plain


def test_without_the_address_of_the_site_there_is_no_link(settings):
    settings.SISY_SITE_URL = ""
    assert "href" not in text_of(message(Event.OPENED, notice(run=7))).html


@pytest.mark.parametrize(
    ("keys", "path"), [({"run": 7, "task": 3}, "runs/7/"), ({"task": 3}, "tasks/3/"), ({}, "")]
)
def test_a_link_leads_to_the_run_or_the_task_or_the_overview(keys, path, settings):
    settings.SISY_SITE_URL = "https://example.com"
    text = text_of(message(Event.OPENED, notice(**keys)))
    assert f"https://example.com/sisy/{path}\n" in text.plain


def test_without_a_dashboard_a_link_leads_to_the_admin(settings):
    settings.SISY_SITE_URL = "https://example.com"
    settings.ROOT_URLCONF = "tests.unit.urls_without_dashboard"
    text = text_of(message(Event.OPENED, notice(run=7)))
    assert "https://example.com/admin/sisy/run/7/change/\n" in text.plain


@pytest.mark.parametrize("event", [Event.OPENED, Event.RECOVERED, Event.DIGEST])
def test_hostile_text_is_escaped_everywhere(event):
    hostile = notice(what=HOSTILE, why=HOSTILE, fix=HOSTILE, queue=HOSTILE, problem=HOSTILE)
    text = text_of(message(event, hostile, *[hostile] * (event == Event.DIGEST)))
    assert text.subject.isprintable()
    assert len(text.subject) <= 200
    assert "\x1b" not in text.plain + text.html
    assert "\nBcc" not in text.plain
    assert "<b onclick" not in text.html
    assert "{{ 7|add:1 }}" in text.plain
