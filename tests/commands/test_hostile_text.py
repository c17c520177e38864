"""No command gives a terminal orders that stand in a label or in the text of an error."""

import csv
import json
import sys
from contextlib import suppress
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sisy.management.sync_text import sentences
from sisy.models import Attempt, Process, Queue, Role, Run, RunState, Task
from sisy.runtime import signal_dispatch
from sisy.signals import run_finished
from sisy.syncing.discovery import Discovered
from sisy.syncing.sync import Change, Kind, Synced
from tests.support.hostile import HOSTILE, STORABLE, flaw_in
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db, pytest.mark.usefixtures("noon")]

COMMANDS = """
sisy_tasks list
sisy_tasks show {task}
sisy_tasks next {task}
sisy_tasks history {task}
sisy_tasks why {task}
sisy_tasks why {task} 2026-05-05T11:59
sisy_tasks why {run}
sisy_tasks run {task}
sisy_tasks pause {task}
sisy_tasks pause {task}
sisy_tasks resume {task}
sisy_tasks resume {task}
sisy_tasks backfill {task} 2026-05-05T11:00 2026-05-05T11:05
sisy_tasks backfill {task} 2026-05-05T11:00 2026-05-06T11:05
sisy_tasks retry #{run}
sisy_tasks cancel {task}
sisy_tasks cancel {task}
sisy_tasks show nowhere
sisy_runs list
sisy_runs list --task nowhere
sisy_runs show {run}
sisy_runs show {task}
sisy_runs retry {run}
sisy_runs retry --task {task} --state queued --yes
sisy_runs cancel --task {task} --yes
sisy_queues list
sisy_queues pause nowhere
sisy_workers list
sisy_workers drain nowhere
sisy_top --once
sisy_status
sisy_health
sisy_simulate 2026-05-05T12:00 2026-05-05T12:05
sisy_simulate 2026-05-05T12:00 2026-05-05T12:05 --csv
sisy_simulate 2026-05-05T12:00 2026-05-05T12:05 --by-minute
sisy_prune --dry-run
sisy_sync
check --database default
""".strip().splitlines()


def stored():
    """Return a task and a run whose texts are hostile, as rows from before Sisy refused them."""
    task = scheduled("* * * * *")
    columns = {"label": STORABLE[:255], "state_reason": STORABLE, "target_error": STORABLE}
    models_update(Task.objects.filter(pk=task.pk), **columns)
    process = Process.join(Role.WORKER, using="default", now=NOON, lease=HOUR, slots=1)
    models_update(Process.objects.filter(pk=process.pk), host=STORABLE[:255], queues=[STORABLE])
    for state in (RunState.FAILED, RunState.MISSED, RunState.QUEUED):
        run = task.run_now()
        models_update(
            Run.objects.filter(pk=run.pk),
            label=STORABLE[:255],
            state=state,
            reason=STORABLE[:500],
            process_id=process.pk,
            due_at=NOON - (run.pk % 60 + 1) * MINUTE,
            error=STORABLE,
            finished_at=NOON - MINUTE,
        )
    Attempt.objects.create(run=run, number=1, state="failed", reason=STORABLE, finished_at=NOON)
    Queue.objects.pause("default", STORABLE)
    return task, Run.objects.filter(state=RunState.FAILED).first()


def models_update(rows, **columns):
    """Write columns past the fields that would escape them."""
    from django.db import connection

    for row in rows:
        for name, value in columns.items():
            field = row._meta.get_field(name)
            plain = type(field).__name__ == "ReasonField"
            written = (
                value[: field.max_length] if plain else field.get_db_prep_save(value, connection)
            )
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {row._meta.db_table} SET {field.column} = %s WHERE id = %s",
                    [written, row.pk],
                )


@pytest.mark.parametrize("as_json", [False, True])
def test_no_output_controls_the_terminal_or_forges_lines(as_json, monkeypatch):
    task, run = stored()
    own, error = StringIO(), StringIO()
    monkeypatch.setattr(sys, "stdout", own)
    monkeypatch.setattr(sys, "stderr", error)
    heard = 0
    for line in COMMANDS:
        words = line.format(task=task.pk, run=run.pk).split()
        if as_json and words[0].startswith("sisy"):
            words.append("--json")
        out, refused = StringIO(), ""
        try:
            call_command(*words, stdout=out, stderr=error)
        except CommandError as raised:
            refused = str(raised)
        for text in (out.getvalue(), refused, own.getvalue(), error.getvalue()):
            assert not flaw_in(text.replace("\n\tHINT", "")), line  # so Django writes hints
        heard += "tea" in out.getvalue() + refused
        if as_json and words[0] in ("sisy_status", "sisy_simulate") and "--csv" not in words:
            assert json.loads(out.getvalue())
    assert heard > 10


def test_reports_on_declared_tasks_do_not_control_the_terminal():
    change = Change(
        name=HOSTILE, kind=Kind.REFUSED, fields={"label": (HOSTILE, HOSTILE)}, problem=HOSTILE
    )
    found = Discovered(declarations=[], broken={"shop.jobs": HOSTILE})
    for line in sentences(found, Synced(changes=[change])):
        assert not flaw_in(line)
        assert "\n" not in line


@pytest.mark.parametrize(
    "label",
    [
        '=HYPERLINK("http://evil.example")',
        "+1",
        "-1+1",
        "@SUM(A1)",
        "\t=1",
        " =1",
        "\r=1",
        "\uff1d1",
    ],
)
@pytest.mark.parametrize("options", ["--csv", "--csv --by-minute"])
def test_no_cell_of_a_csv_is_a_formula(label, options):
    task = scheduled()
    models_update(Task.objects.filter(pk=task.pk), label=label)
    out = StringIO()
    call_command(
        "sisy_simulate", "2026-05-05T12:00", "2026-05-05T12:02", *options.split(), stdout=out
    )
    for row in csv.reader(StringIO(out.getvalue())):
        for cell in row:
            assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d"))


def test_the_log_of_a_hostile_run_is_one_line(caplog):
    _, run = stored()
    run.refresh_from_db()
    with suppress(KeyError):
        signal_dispatch.send(run_finished, Run, [{"run": run}])
    assert caplog.records
    for record in caplog.records:
        assert not flaw_in(record.getMessage())
        assert "\n" not in record.getMessage()
