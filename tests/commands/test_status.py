"""``sisy_status`` says what to do about each alert, and who handles it."""

import pytest

from sisy.lifecycle.miss import missed_row
from sisy.models import Alert, Queue
from sisy.records.problems import Kind
from tests.commands.calling import said, told
from tests.support.moments import HOUR, NOON
from tests.support.records import open_alert, scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def alerts_in(text):
    return " ".join(text.partition("Alerts:")[2].split())


def test_each_alert_has_its_fix_and_no_other_command_is_advised():
    task = scheduled(label="tea")
    alert = open_alert(task, Kind.BROKEN, NOON, why="It is broken.", fix="Correct it.")
    text = alerts_in(said("sisy_status"))
    assert "critical No worker serves the queue 'default'" in text
    assert (
        f"error {alert.pk} tea: It is broken. Since 2026-05-05 12:00:00 UTC. Correct it." in text
    )
    assert text.endswith("To see more about an alert: manage.py sisy_alerts show ID")


def test_who_handles_an_alert_is_shown():
    task = scheduled(label="tea")
    alert = open_alert(task, Kind.BROKEN, NOON, why="It is broken.")
    said(f"sisy_alerts ack {alert.pk} --by ann")
    said(f"sisy_alerts mute {alert.pk} --until 14:00")
    text = alerts_in(said("sisy_status"))
    assert "Acknowledged by ann. Muted until 2026-05-05 14:00:00 UTC." in text
    assert told("sisy_status")["alerts"][-1]["acknowledged_by"] == "ann"


def missed(label, reason="No heartbeat planned the task in time."):
    task = scheduled(label=label)
    row = missed_row(task, NOON - HOUR, NOON - HOUR, 1, reason, NOON)
    row.save()
    return task, row


def test_what_was_missed_and_has_no_alert_is_counted_with_a_command():
    first, row = missed("tea")
    missed("coffee")
    missed("cocoa")
    columns = {"run_id": row.pk, "why": row.reason, "cause": row.reason}
    alert = open_alert(first, Kind.MISSED, NOON, **columns)
    text = alerts_in(said("sisy_status"))
    assert f"warning {alert.pk} 3 tasks: " in text
    assert "Affects tea (due again at 2026-05-05 12:01:00 UTC), co" in text
    command = "To list them: manage.py sisy_tasks missed 2026-05-05T11:00 2026-05-05T11:01"
    assert command in text
    assert "To list them: manage.py sisy_tasks missed" in said("sisy_top --once")
    Alert.objects.close("ann", NOON)
    assert f"info {alert.pk}" not in alerts_in(said("sisy_status"))


def test_queues_have_the_state_of_their_list_in_place_of_the_pause():
    scheduled(label="tea", queue="mail")
    scheduled(label="coffee", queue="cpu")
    Queue.objects.pause("mail", "down", by="ann")
    rows = said("sisy_status").partition("Queues:\n")[2].splitlines()
    assert rows[0].split() == ["queue", "state", "queued", "oldest", "running", "workers"]
    assert " ".join(rows[2].split()).startswith("cpu no worker 0")
    assert " ".join(rows[3].split()).startswith("mail paused 0")
    listed = {row["queue"]: row["state"] for row in told("sisy_queues list")}
    found = told("sisy_status")["queues"]
    assert {row["queue"]: row["state"] for row in found} == listed
    assert [row["paused"] for row in found] == [None, "2026-05-05T12:00:00+00:00"]
