"""The demo shows what people are told on a page of its own."""

import os
import subprocess
import sys
from textwrap import dedent

from tests.docs.pages import ROOT

SCRIPT = dedent(
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


def test_the_mails_of_the_demo_arrive_on_its_page(tmp_path):
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "demosite.settings",
        "DEMO_DATABASE": str(tmp_path / "demo.sqlite3"),
    }
    for name in ("DATABASE_URL", "VALKEY_URL"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT / "example",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[Sisy] Test message" in done.stdout
