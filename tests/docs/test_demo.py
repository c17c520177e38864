"""The demo is a shop with a past, and shows its mails on a page of its own."""

import os
import subprocess
import sys
from textwrap import dedent

from tests.docs.pages import ROOT

MAILS = dedent(
    """
    import django

    django.setup()
    from django.core.management import call_command
    from django.test import Client
    from sisy.alerting.trial import try_channel
    from sisy import clock

    call_command("migrate", verbosity=0)
    assert try_channel("email", clock.now("default")) is None
    answer = Client().get("/mails/", headers={"host": "localhost"})
    assert answer.status_code == 200, answer.status_code
    print(answer.text)
    """
)


PAST = dedent(
    """
    import demo

    demo.prepare()
    from datetime import timedelta
    from django.db.models import F
    from django.test import Client
    from sisy.models import Alert, Run

    assert Alert.objects.open().filter(kind="failing", label="catalogue: import prices").exists()
    # Open until the backup of the next night has succeeded, which may have been just now.
    assert Alert.objects.filter(kind="missed", label="backups: pictures").exists()
    assert Run.objects.filter(queue="labels").queued().count() > 50
    waited = F("started_at") - F("ready_at")
    invoices = Run.objects.filter(label__startswith="invoices").annotate(waited=waited)
    assert invoices.filter(waited__gt=timedelta(minutes=5)).exists()
    warehouse = Run.objects.filter(label="stock: ask the warehouse")
    # Some hours of the day, it has also missed what was due in the outage.
    assert {"failed", "succeeded"} <= set(warehouse.values_list("state", flat=True))
    # Another one may be open, about what the outage of last night has missed.
    Alert.objects.open().get(kind="failing", label="stock: ask the warehouse")
    # The alert's own text is that of its opening, which was perhaps at the first failure.
    overview = Client().get("/", headers={"host": "localhost"})
    assert "It fails intermittently." in overview.text
    errors = Run.objects.filter(state="failed").order_by().values_list("label", "error").distinct()
    assert {label.partition(":")[0] for label, _ in errors} == {"catalogue", "stock"}
    for _, error in errors:
        assert "history.py" not in error, error
        assert error.count('example/shop/') == 2, error
    """
)

OUTAGES = dedent(
    """
    import django

    django.setup()
    from datetime import UTC, datetime, timedelta
    from shop.history import last, last_outage

    midnight = datetime(2026, 5, 5, tzinfo=UTC)
    for minute in range(24 * 60):
        now = midnight + timedelta(minutes=minute)
        begin, end = last_outage(now)
        backup = last(end, 3, 0)
        assert begin < backup < end < now, now
        assert last(now, 3, 0) == backup or minute in (180, 181, 182), now
    """
)

FAILING_JUDGE = dedent(
    """
    import demo

    demo.prepare()
    from shop.midnight import as_it_was
    from sisy.models import Process, QueuedRun, RunningRun, Run

    def rows():
        return [model.objects.count() for model in (QueuedRun, RunningRun, Process)]

    before = rows()
    runs = list(Run.objects.filter(label__startswith="invoices", state="succeeded"))
    moment = min(run.finished_at for run in runs)
    try:
        with as_it_was(runs, moment):
            assert all(now > then for now, then in zip(rows(), before, strict=True)), rows()
            raise ArithmeticError
    except ArithmeticError:
        assert rows() == before, (rows(), before)
    """
)


def test_the_mails_of_the_demo_arrive_on_its_page(tmp_path):
    assert "[Sisy] Test message" in run(MAILS, tmp_path)


def test_the_past_of_the_demo_has_its_problems(tmp_path):
    run(PAST, tmp_path)


def test_the_demo_has_missed_its_last_backup_at_any_time_of_the_day(tmp_path):
    run(OUTAGES, tmp_path)


def test_a_judge_that_fails_leaves_the_history_of_the_demo_as_it_was(tmp_path):
    run(FAILING_JUDGE, tmp_path)


def run(script, folder):
    """Run a script in the demo's folder, with a new database, and return what it prints."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "demosite.settings",
        "DEMO_DATABASE": str(folder / "demo.sqlite3"),
    }
    for name in ("DATABASE_URL", "VALKEY_URL"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT / "example",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
