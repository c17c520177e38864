"""Processes that ended, on the page of workers and in the terminal: when, and why."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.alerting.heartbeat_gaps import ended_processes
from sisy.models import Process, Role
from sisy.reports import ended
from sisy.reports.ended import past
from tests.admin.pages import text_of
from tests.admin.people import browser_of
from tests.commands.calling import said, seen, told
from tests.roles.steps import LEASE
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture(autouse=True)
def host(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "web-1")


def lived(began, end=None, *, seen_until=None, role=Role.HEARTBEAT, reason="It stopped normally."):
    """Return a process that began and ended so long before noon."""
    process = Process.join(role, using="default", now=NOON - began, lease=LEASE)
    until = NOON + LEASE if end is None else NOON - (seen_until or end) + LEASE
    Process.objects.filter(pk=process.pk).update(lease_until=until)
    process.refresh_from_db()
    if end is not None:
        process.leave(reason, NOON - end)
    return process


def shown():
    return text_of(browser_of("view_task").get("/sisy/fleet/?parts=ended"))


def gaps():
    return [
        (NOON - gap.since, gap.until and NOON - gap.until) for gap in past("default", NOON).gaps
    ]


def test_the_page_lists_what_ended_in_the_last_24_hours_and_why():
    lived(3 * HOUR, 2 * HOUR, role=Role.WORKER)
    lived(2 * HOUR, HOUR, role=Role.WORKER, reason="It died (killed by SIGKILL).")
    lived(3 * DAY, 2 * DAY, role=Role.WORKER, reason="Long ago.")
    text = shown()
    assert "Ended in the last 24 hours" in text
    assert "unexpected It died (killed by SIGKILL)." in text
    assert text.index("It died") < text.index("It stopped normally.")
    assert "Long ago." not in text
    assert "No heartbeat" not in text


def worker_of(*queues, began=3 * DAY, end=2 * DAY):
    process = lived(began, end, role=Role.WORKER, reason=f"Served {queues}.")
    Process.all_objects.filter(pk=process.pk).update(queues=list(queues))
    return process


def test_the_last_worker_of_a_queue_without_one_is_listed_whenever_it_ended():
    for queue in ("labels", "mail", "default"):
        scheduled(queue=queue)
    worker_of("labels", end=50 * HOUR)
    worker_of("labels", "mail", "unused")
    worker_of("default")
    alive = Process.join(Role.WORKER, using="default", now=NOON, lease=LEASE, queues=("default",))
    text = shown()
    assert (
        "Ended in the last 24 hours, and the last worker of each queue that has none now" in text
    )
    assert text.count("last worker of labels, mail ") == text.count("last worker of ") - 1 == 1
    assert "Served ('default',)." not in text
    [row] = told("sisy_workers list --ended")["ended"]
    assert row["queues"] == ["labels", "mail", "unused"]
    alive.leave("It stopped normally.", NOON)
    worker_of("default", began=HOUR, end=MINUTE)
    assert "last worker of default " in shown()


def test_a_period_without_heartbeats_that_is_over_does_not_look_current():
    lived(12 * HOUR, 9 * HOUR)
    assert "! no heartbeat No heartbeat has been running" in shown()
    lived(2 * HOUR)
    assert "! no heartbeat" not in shown()
    assert "✓ recovered No heartbeat was running from" in shown()


def test_a_page_without_ended_processes_says_so_where_alerts_lead_to():
    lived(HOUR)
    page = browser_of("view_task").get("/sisy/fleet/?parts=ended")
    assert 'id="ended"' in page.content.decode()
    assert "No heartbeat or worker ended in the last 24 hours." in text_of(page)


def test_a_night_without_heartbeats_is_explained(monkeypatch):
    lived(12 * HOUR, 9 * HOUR)
    lived(2 * HOUR)
    assert gaps() == [(9 * HOUR, 2 * HOUR)]
    words = (
        "No heartbeat was running from 2026-05-05 03:00:00 UTC to 2026-05-05 10:00:00 UTC (7 h), "
        "so no runs were planned."
    )
    assert words in shown()
    lines = seen("sisy_workers list --ended", monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    assert words in " ".join(lines)


def test_a_heartbeat_that_died_ended_when_its_lease_did_not_when_it_was_noticed():
    # The next heartbeat notes its end when it starts, seven hours later.
    lived(12 * HOUR, 2 * HOUR, seen_until=9 * HOUR, reason="It did not renew its lease.")
    lived(2 * HOUR)
    assert gaps() == [(9 * HOUR - LEASE, 2 * HOUR)]
    [one] = past("default", NOON).ended
    assert one.at == NOON - 9 * HOUR + LEASE
    assert one.lived == 3 * HOUR + LEASE


def test_a_gap_that_lasts_has_no_end():
    lived(12 * HOUR, 9 * HOUR)
    assert gaps() == [(9 * HOUR, None)]
    assert "No heartbeat has been running since 2026-05-05 03:00:00 UTC (9 h)" in shown()


@pytest.mark.parametrize(
    "others",
    [
        [(10 * HOUR, None)],  # another one was running
        [(9 * HOUR - 30 * SECOND, None)],  # a restart
    ],
)
def test_a_restart_or_a_second_heartbeat_leaves_no_gap(others):
    lived(12 * HOUR, 9 * HOUR)
    for each in others:
        lived(*each)
    assert gaps() == []


def test_a_gap_that_began_over_24_hours_ago_is_reported_from_then_on():
    lived(40 * HOUR, 35 * HOUR)
    lived(34 * HOUR, 30 * HOUR)
    lived(10 * HOUR)
    assert gaps() == [(DAY, 10 * HOUR)]


def test_a_gap_that_lasts_began_when_the_last_heartbeat_ended():
    lived(5 * DAY, 4 * DAY, role=Role.WORKER)
    lived(4 * DAY, 3 * DAY)
    assert gaps() == [(3 * DAY, None)]
    words = "No heartbeat has been running since 2026-05-02 12:00:00 UTC (3 days), so no runs are"
    assert words in shown()
    assert words in " ".join(said("sisy_workers list --ended").split())


def test_heartbeats_of_long_ago_are_read_only_for_a_gap_since_then():
    lived(40 * HOUR, 30 * HOUR)
    lived(30 * HOUR)
    with CaptureQueriesContext(connection) as queries:
        assert gaps() == []
    assert len(queries) == 2


def test_a_gap_begins_at_most_24_hours_ago():
    lived(40 * HOUR, 2 * HOUR, seen_until=30 * HOUR, reason="It did not renew its lease.")
    lived(2 * HOUR)
    assert gaps() == [(DAY, 2 * HOUR)]


def test_crashing_workers_do_not_hide_the_end_of_a_heartbeat():
    lived(12 * HOUR, 9 * HOUR)
    for number in range(15):
        minutes = timedelta(minutes=number)
        lived(HOUR + minutes, HOUR + minutes, role=Role.WORKER, reason="It died.")
    lived(9 * HOUR)
    found = past("default", NOON)
    assert (len(found.ended), found.more) == (11, 5)
    assert found.ended[-1].process.role == Role.HEARTBEAT
    for text in (shown(), said("sisy_workers list --ended")):
        assert "5 more processes ended in the last 24 hours." in text
        assert "Searched only the newest" not in text


def test_runs_of_engines_do_not_hide_heartbeats_and_workers(monkeypatch):
    monkeypatch.setattr(ended, "MAX_READ", 3)
    lived(12 * HOUR, 9 * HOUR)
    lived(8 * HOUR, 7 * HOUR, role=Role.WORKER)
    for number in (1, 2, 3):
        lived(8 * HOUR, number * HOUR, role=Role.ENGINE)
    found = past("default", NOON)
    assert [one.process.role for one in found.ended] == [Role.WORKER, Role.HEARTBEAT]
    assert found.read is None
    assert gaps() == [(9 * HOUR, None)]


def test_ended_processes_are_found_by_an_index():
    if connection.vendor == "mysql":
        pytest.skip("EXPLAIN differs")
    old = {"started_at": NOON - 3 * DAY, "ended_at": NOON - 2 * DAY, "lease_until": NOON - 2 * DAY}
    Process.all_objects.bulk_create(
        Process(role=Role.ENGINE, host="web-1", pid=pid, **old) for pid in range(5000)
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE sisy_process")
    found = ended_processes("default", Role.HEARTBEAT, Role.WORKER)
    plan = found.filter(ended_at__gte=NOON - DAY)[:1000].explain()
    assert "sisy_process_registered" in plan


def test_of_very_many_ended_processes_the_newest_are_read(monkeypatch):
    lived(12 * HOUR, 9 * HOUR)
    monkeypatch.setattr(ended, "MAX_READ", 2)
    for number in (1, 2, 3):
        lived(8 * HOUR, number * HOUR, role=Role.WORKER)
    lived(30 * MINUTE)
    found = past("default", NOON)
    assert [one.at for one in found.ended] == [NOON - HOUR, NOON - 2 * HOUR]
    assert gaps() == [(9 * HOUR, 30 * MINUTE)]
    for text in (shown(), said("sisy_workers list --ended")):
        assert "Searched only the newest 2 ended processes." in text


def test_ended_processes_fit_the_terminal_and_are_listed_as_json(monkeypatch):
    lived(
        3 * HOUR,
        2 * HOUR,
        reason="It did not renew its lease, and neither did any other process on web-1.",
    )
    lived(2 * HOUR)
    text = seen("sisy_workers list --ended", monkeypatch)
    head, _, *rows = text.splitlines()
    assert head.split() == ["process", "ended", "lifetime", "reason"]
    assert all(len(row) <= 80 for row in rows)
    assert "and neither did any other process on web-1." in " ".join(text.split())
    found = told("sisy_workers list --ended")
    assert [(one["role"], one["host"]) for one in found["ended"]] == [("heartbeat", "web-1")]
    assert found["without_heartbeat"] == []


def test_without_ended_processes_the_command_says_so():
    text = said("sisy_workers list --ended")
    assert text == "No heartbeat or worker ended in the last 24 hours.\n"
    assert "sisy_workers list --ended" in said("sisy_workers list")
