"""Run the demo in one process, and show its ledger at the end."""

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
FAILURES = ("failed", "timed_out", "lost")
TROUBLE = "shop.outside."  # functions that fail on purpose


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="default: 8000, or a free port")
    parser.add_argument(
        "--seconds", type=float, help="use a new database, and stop after this many seconds"
    )
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    os.environ["DJANGO_SETTINGS_MODULE"] = "demosite.settings"
    if options.seconds:
        database = HERE / "shop.sqlite3-timed"
        for leftover in HERE.glob(database.name + "*"):
            leftover.unlink()
        os.environ["DEMO_DATABASE"] = str(database)
    port = free_port(options.port)
    prepare()
    began = datetime.now(UTC)
    ended_well = serve(port, options.seconds)
    return 0 if print_ledger(began) and ended_well else 1


def free_port(wanted: int) -> int:
    """Return the port, or a free one if it is in use."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise AssertionError("some port is always free")


def prepare() -> None:
    """Migrate the database. In a new one, create the user ``admin``, and tasks with a past."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.utils import timezone

    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    if users.filter(username="admin").exists():
        return
    from shop.history import History
    from shop.tasks import create_tasks_with_a_past

    create_tasks_with_a_past()
    logging.disable()  # so that it does not report the alerts of the past
    History(timezone.now()).store()
    logging.disable(logging.NOTSET)
    users.create_superuser("admin", "admin@localhost", "admin")


def serve(port: int, seconds: float | None) -> bool:
    """Run the site until Ctrl-C, or for some seconds; return whether it stopped cleanly."""
    command = [sys.executable, "-m", "uvicorn", "demosite.asgi:application"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    environment = os.environ | {"DEMO_ADDRESS": f"http://127.0.0.1:{port}"}
    site = subprocess.Popen(command, cwd=HERE, env=environment, start_new_session=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wait_until_it_answers(port, site)
        welcome(f"http://127.0.0.1:{port}/")
        return site.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return stop(site)
    except KeyboardInterrupt:
        print("\nStopping …", flush=True)
        return stop(site)


def wait_until_it_answers(port: int, site: subprocess.Popen[bytes]) -> None:
    while site.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


def welcome(address: str) -> None:
    """Create the tasks that start now that there is a worker, and print the site's addresses."""
    from shop.tasks import create_new_tasks

    create_new_tasks(address)
    print(f"\n  The dashboard: {address}")
    print(f"  The admin:     {address}admin/       user admin, password admin")
    print(f"  A web form:    {address}reminders/   creates a task that runs once")
    print(f"  The mails:     {address}mails/       about what fails, hangs and recovers")
    print("  Press Ctrl-C to stop the demo and show its ledger.\n", flush=True)


def stop(site: subprocess.Popen[bytes]) -> bool:
    site.send_signal(signal.SIGTERM)
    return site.wait(30) in (0, -signal.SIGTERM)


def print_ledger(since: datetime) -> bool:
    """Print what tasks came to since then; return whether runs succeeded, as all should."""
    from django.db.models import Count, F, Max, Q

    from sisy.models import Run
    from sisy.reports.formatting import span

    def count(*states: str) -> Count:
        return Count("id", filter=Q(state__in=states))

    runs = Run.objects.filter(planned_at__gte=since)
    rows = (
        runs.values("label")
        .annotate(
            runs=count("succeeded"),
            failed=count(*FAILURES),
            left_out=count("missed", "skipped", "cancelled"),
            lateness=Max(F("started_at") - F("ready_at"), filter=Q(state="succeeded")),
        )
        .order_by("label")
    )
    width = max((len(row["label"]) for row in rows), default=4)
    print(f"\n{'task':{width}}  {'runs':>5}  {'failed':>6}  {'not run':>8}  maximum lateness")
    for row in rows:
        late = span(row["lateness"])
        print(
            f"{row['label']:{width}}  {row['runs']:5}  {row['failed']:6}  {row['left_out']:8}  "
            f"{late:>16}"
        )
    failures = runs.filter(state__in=FAILURES).exclude(target_path__startswith=TROUBLE)
    for label in failures.order_by("label").values_list("label", flat=True).distinct():
        latest = failures.filter(label=label).latest("pk")
        print(f"\n{latest} {latest.get_state_display()}: {latest.reason}")
    print(f"\n{sum(row['runs'] for row in rows)} runs succeeded.")
    return any(row["runs"] for row in rows) and not failures.exists()


if __name__ == "__main__":
    sys.exit(main())
