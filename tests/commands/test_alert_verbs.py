"""The verbs of ``sisy_alerts`` that show alerts and change them."""

import pytest
from django.core.management import CommandError

from sisy.models import Alert, RunState
from sisy.records.problems import Kind
from tests.commands.calling import said, seen, told
from tests.support.hostile import STORABLE, flaw_in
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def failure_of(line):
    with pytest.raises(CommandError) as caught:
        said(line)
    return caught.value


def opened(number=5, subject="", **columns):
    subject = subject or f"task:{number}"
    known = {"label": "import", "why": "The latest run failed: KeyError.", "fix": "Fix it."}
    known |= {"kind": Kind.FAILING, "task_id": number}
    return Alert.objects.create(
        subject=subject,
        open_key=f"failing:{subject}",
        since=NOON - MINUTE,
        opened_at=NOON,
        **{**known, **columns},
    )


def test_open_alerts_are_listed_in_80_columns_with_the_next_step(monkeypatch):
    assert said("sisy_alerts list").strip() == "No open alerts."
    alert = opened(label="a label that is far too long for a line of a terminal" * 3)
    lines = seen("sisy_alerts list", monkeypatch).splitlines()
    assert max(map(len, lines)) <= 80
    assert "open   The latest run failed" in lines[-2]
    assert lines[-1].endswith("sisy_alerts show ID")
    [row] = told("sisy_alerts list")
    assert (row["id"], row["what"], row["state"]) == (alert.pk, alert.label, "open")


def test_an_alert_about_a_queue_says_that_it_is_one_and_how_severe_it_is():
    columns = {"label": "", "queue": "mail", "task_id": None, "fix": ""}
    alert = opened(subject="queue:mail", kind=Kind.NO_WORKER, **columns)
    head, _, row = said("sisy_alerts list").splitlines()[:3]
    assert head.split() == ["id", "severity", "problem", "what", "since", "state", "why"]
    assert row.split()[1:6] == ["critical", "no", "worker", "queue", "mail"]
    assert "manage.py sisy_queues list" in said(f"sisy_alerts show {alert.pk}")


@pytest.mark.parametrize(
    "columns",
    [
        {"label": "mail"},  # a task with the name of its queue
        {"subject": "call:shop.jobs.send", "label": "shop.jobs.send", "task_id": None},
    ],
)
def test_an_alert_about_a_task_or_a_function_is_not_about_its_queue(columns):
    alert = opened(queue="mail", **columns)
    assert "queue mail" not in said("sisy_alerts list")
    assert "sisy_queues" not in said(f"sisy_alerts show {alert.pk}")


def test_an_alert_is_shown_without_what_has_not_happened():
    alert = opened(run_id=7)
    text = said(f"sisy_alerts show {alert.pk}")
    names = {line.split("  ")[0] for line in text.splitlines()}
    assert {"why", "since"} <= names
    assert not {"closed", "reopened", "muted by", "acknowledged by"} & names
    assert "To see the run: manage.py sisy_runs show 7" in text
    assert told(f"sisy_alerts show {alert.pk}")["reopened"] == 0


def test_an_alert_about_missed_occurrences_leads_to_the_ended_heartbeats():
    alert = opened(kind=Kind.MISSED)
    assert "manage.py sisy_workers list --ended" in said(f"sisy_alerts show {alert.pk}")
    assert "--ended" not in said(f"sisy_alerts show {opened(6).pk}")


def test_an_invalid_key_is_rejected_with_where_keys_are_shown():
    with pytest.raises(CommandError, match=r"'x' is not an alert\. Use its key, such as 12"):
        said("sisy_alerts ack x")
    alert = opened()
    assert told(f"sisy_alerts ack '#{alert.pk}'") == {"changed": 1}


def test_closed_alerts_are_listed_on_request():
    Alert.objects.filter(pk=opened().pk).close("ann", NOON)
    assert told("sisy_alerts list") == []
    [row] = told("sisy_alerts list --all")
    assert (row["state"], row["close_reason"]) == ("closed", "Closed by ann.")


def test_closed_alerts_of_one_problem_are_one_row_for_people():
    late = {"kind": Kind.LATE, "cause": "all 4 worker slots are in use"}
    missed = {"kind": Kind.MISSED, "cause": "No heartbeat was running at night"}
    for number in range(1, 5):
        opened(number, label=f"invoice {number}", why=f"Late by {number} min.", **late)
    for number in range(5, 8):
        since = NOON - number * HOUR
        opened(number, label=f"backup {number}", why=f"{number} missed.", **missed)
        Alert.objects.filter(label=f"backup {number}").update(since=since)
    opened(8, label="invoice 0", **late)
    Alert.objects.filter(label="invoice 0").update(since=NOON - HOUR)
    Alert.objects.exclude(label="invoice 2").close("ann", NOON)
    assert len(told("sisy_alerts list --all")) == 8
    text = said("sisy_alerts list --all")
    rows = [line.split("  ") for line in text.splitlines()[2:-1]]
    what = [[cell.strip() for cell in row if cell][-4] for row in rows]
    assert what == ["invoice 2", "invoice 0", "backup 7 and 2 more", "invoice 4 and 2 more"]
    assert "2026-05-05 05:00:00 UTC  closed  No heartbeat was running at night." in text


def test_an_alert_is_shown_with_what_to_do_next():
    alert = opened()
    shown = said(f"sisy_alerts show {alert.pk}")
    assert "The latest run failed: KeyError." in shown
    assert "Next: Fix it." in shown
    assert f"sisy_alerts ack {alert.pk}" in shown


def test_people_acknowledge_mute_unmute_and_close_alerts():
    alert = opened()
    assert told(f"sisy_alerts ack {alert.pk} --by ann") == {"changed": 1}
    text = said(f"sisy_alerts mute {alert.pk} --hours 3 --by bob")
    assert text == "Muted until 2026-05-05 15:00:00 UTC: failing: import.\n"
    assert f"sisy_alerts unmute {alert.pk}" in said(f"sisy_alerts show {alert.pk}")
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.muted_by) == ("ann", "bob")
    assert alert.muted_until == NOON + 3 * HOUR
    assert told("sisy_alerts list")[0]["state"] == "muted"
    said(f"sisy_alerts unmute {alert.pk}")
    assert told("sisy_alerts list")[0]["state"] == "acked"
    said(f"sisy_alerts close {alert.pk}")
    alert.refresh_from_db()
    assert not alert.is_open
    assert alert.closed_by


def test_an_acknowledgement_is_undone_by_a_verb_that_show_names():
    alert = opened(kind=Kind.NO_WORKER, subject="queue:labels", label="", queue="labels")
    assert said(f"sisy_alerts ack {alert.pk}") == "Acknowledged: no worker: labels.\n"
    assert f"manage.py sisy_alerts unack {alert.pk}" in said(f"sisy_alerts show {alert.pk}")
    undone = said(f"sisy_alerts unack {alert.pk}")
    assert undone == "No longer acknowledged: no worker: labels.\n"
    alert.refresh_from_db()
    assert (alert.acknowledged_at, alert.acknowledged_by) == (None, "")
    refused = str(failure_of(f"sisy_alerts unack {alert.pk}"))
    assert refused == f"Nothing to do. Alert {alert.pk} is not acknowledged."


def test_closing_is_undone_by_a_verb_that_show_names():
    alert = opened()
    said(f"sisy_alerts close {alert.pk} --by ann")
    shown = said(f"sisy_alerts show {alert.pk}")
    assert f"To reopen it: manage.py sisy_alerts reopen {alert.pk}" in shown
    assert said(f"sisy_alerts reopen {alert.pk}") == "Reopened: failing: import.\n"
    alert.refresh_from_db()
    assert (alert.is_open, alert.closed_by) == (True, "")
    assert "sisy_alerts reopen" not in said(f"sisy_alerts show {alert.pk}")


def test_an_alert_that_cannot_be_reopened_says_why():
    def refusal(alert):
        return str(failure_of(f"sisy_alerts reopen {alert.pk}"))

    first = opened()
    assert refusal(first) == f"Nothing to do. Alert {first.pk} is open."
    first.delete()
    recovered = opened()
    Alert.objects.end(closed_at=NOON, close_reason="The latest run succeeded.")
    assert refusal(recovered) == (
        f"Nothing to do. Alert {recovered.pk} cannot be reopened. Sisy closed it at "
        "2026-05-05 12:00:00 UTC, when its problem was over: The latest run succeeded."
    )
    assert "sisy_alerts reopen" not in said(f"sisy_alerts show {recovered.pk}")
    earlier = opened()
    said(f"sisy_alerts close {earlier.pk}")
    later = opened()
    assert refusal(earlier) == (
        f"Nothing to do. Alert {earlier.pk} cannot be reopened: alert {later.pk} about the same "
        "problem is open."
    )


def test_a_verb_names_one_alert_and_counts_several():
    one, another = opened(5), opened(6)
    assert said(f"sisy_alerts close {one.pk}").startswith("Closed: failing: import. New ")
    several = opened(7)
    text = said(f"sisy_alerts ack {another.pk} {several.pk}")
    assert text == "Acknowledged 2 alerts.\n"
    text = said(f"sisy_alerts unack {another.pk} {several.pk}")
    assert text == "2 alerts are no longer acknowledged.\n"


def test_an_alert_is_muted_until_a_moment():
    alert = opened()
    said(f"sisy_alerts mute {alert.pk} --until 2026-05-06T08:00+00:00")
    alert.refresh_from_db()
    assert alert.muted_until == NOON + 20 * HOUR
    past = failure_of(f"sisy_alerts mute {alert.pk} --until 2026-05-05T11:00+00:00")
    assert "is in the past" in str(past)


def test_an_alert_that_is_not_changed_says_why():
    alert = opened()
    name = f"Alert {alert.pk}"

    def refusal(verb):
        error = failure_of(f"sisy_alerts {verb}")
        assert error.returncode == 1
        return str(error)

    assert refusal(f"unmute {alert.pk}") == f"Nothing to do. {name} is not muted."
    said(f"sisy_alerts ack {alert.pk} --by ann")
    assert refusal(f"ack {alert.pk}") == (
        f"Nothing to do. {name} was already acknowledged by ann at 2026-05-05 12:00:00 UTC."
    )
    said(f"sisy_alerts mute {alert.pk} --until 14:00")
    assert refusal(f"mute {alert.pk} --until 14:00") == (
        f"Nothing to do. {name} is already muted until 2026-05-05 14:00:00 UTC."
    )
    said(f"sisy_alerts close {alert.pk}")
    closed = f"Nothing to do. {name} was closed at 2026-05-05 12:00:00 UTC."
    assert refusal(f"close {alert.pk}") == refusal(f"ack {alert.pk}") == closed


def test_of_many_alerts_that_are_not_changed_the_first_ones_are_named():
    keys = [opened(number).pk for number in range(5, 12)]
    refusal = str(failure_of(f"sisy_alerts unmute {' '.join(map(str, keys))}"))
    assert refusal.count("is not muted") == 5
    assert refusal.endswith(" And 2 more.")


def failed(task, number):
    """Store an alert about a task, whose runs have failed again since it was opened."""
    runs = [
        task.new_run(
            now=NOON,
            due_at=NOON + n * MINUTE,
            state=RunState.FAILED,
            reason=f"KeyError: {n}",
            error_class="KeyError",
            started_at=NOON + n * MINUTE,
            finished_at=NOON + n * MINUTE,
        )
        for n in range(number)
    ]
    for run in runs:
        run.save()
    columns = {
        "run_id": runs[0].pk,
        "cause": "KeyError",
        "why": "The latest run failed: KeyError.",
    }
    return opened(task.pk, label=task.label, **columns), runs[-1]


def test_an_open_alert_has_the_words_and_the_run_of_the_overview():
    alert, newest = failed(scheduled(label="import"), 3)
    [listed] = told("sisy_alerts list")
    assert listed["why"] == "The last 3 runs failed: KeyError: 2."
    assert listed["run"] == newest.pk
    shown = said(f"sisy_alerts show {alert.pk}")
    assert "The last 3 runs failed: KeyError: 2." in shown
    assert f"manage.py sisy_runs retry {newest.pk}" in shown
    assert f"To see the run: manage.py sisy_runs show {newest.pk}" in shown
    assert shown.count("sisy_runs retry") == 1
    assert "The last 3 runs failed: KeyError: 2." in said("sisy_alerts list")
    said(f"sisy_alerts close {alert.pk}")
    assert "The latest run failed: KeyError." in said(f"sisy_alerts show {alert.pk}")


def test_alerts_are_filtered_by_severity_and_kind():
    task, queue = opened(5), opened(6, kind=Kind.NO_WORKER)
    late = opened(7, kind=Kind.LATE)

    def listed(options):
        return [row["id"] for row in told(f"sisy_alerts list {options}")]

    assert listed("--severity critical") == [queue.pk]
    assert listed("--severity critical --severity error") == [queue.pk, task.pk]
    assert listed("--kind late") == [late.pk]
    assert listed("--kind late --severity critical") == []
    assert "No alerts match." in said("sisy_alerts list --kind missed")


def test_an_alert_that_does_not_exist_is_named():
    assert "Alert 77 does not exist" in str(failure_of("sisy_alerts ack 77"))
    assert "Alert 77 does not exist" in str(failure_of("sisy_alerts show 77"))


def test_hostile_labels_are_listed_harmlessly():
    alert = opened(label=STORABLE, why=STORABLE)
    assert not flaw_in(said("sisy_alerts list"))
    assert not flaw_in(said(f"sisy_alerts show {alert.pk}"))
