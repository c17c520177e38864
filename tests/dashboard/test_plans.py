"""No page reads all of the ledger."""

import re

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.admin import RunAdmin
from sisy.models import Run, RunState
from sisy.reports import by_state, walk
from tests.admin.people import browser_of_superuser
from tests.dashboard.addresses import PARTS, addresses
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

# It reads rows by their keys, from the newest on, until there are enough for a page. Or it counts
# rows, of which almost any will do, until there are enough for a list.
IS_A_WALK = re.compile(
    r"ORDER BY (\"sisy_run\"\.\"id\"|\d+) DESC\s+LIMIT \d+"
    r"|^SELECT COUNT\(\*\) FROM \(SELECT [^(]* FROM \"sisy_run\""
    r"( WHERE \"sisy_run\".\"state\" = 'succeeded')? LIMIT \d+\)"
)
QUERIES = ("", "?state=failed", "?state=queued", "?state=missed", "?state=succeeded")
IN_ADMIN = [f"/admin/sisy/run/{query.replace('=', '__exact=')}" for query in QUERIES]


@pytest.fixture
def site():
    """Store runs in each state."""
    task = scheduled("* * * * *")
    process = worker()
    runs = [
        task.new_run(now=NOON, state=state, started_at=NOON, process=process)
        for state in RunState.values
        for _ in range(3)
    ]
    for run in runs:
        if run.state not in (RunState.QUEUED, RunState.RUNNING):
            run.finished_at = NOON - MINUTE
    Run.objects.bulk_create(runs)
    return task, runs[0]


def scans(statements):
    """Return the statements that read all of the ledger, or a part that no limit bounds."""
    found = []
    for each in statements:
        if "sisy_run" not in each["sql"] or not each["sql"].startswith(("SELECT", "WITH")):
            continue
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {each['sql'].replace('%', '%%')}")
            plan = "\n".join(row[3] for row in cursor.fetchall())
        is_rare = re.search(r"\"state\" = '(?!succeeded)", each["sql"])
        is_walk = IS_A_WALK.search(each["sql"]) and not is_rare
        if re.search(r"SCAN sisy_run\b", plan) and not is_walk:
            found.append(f"{each['sql']}\n{plan}")
    return found


def test_no_page_reads_all_of_the_ledger(site, monkeypatch):
    monkeypatch.setattr(RunAdmin, "list_per_page", 2)  # the admin shows all rows of a single page
    monkeypatch.setattr(by_state, "MAX_RUNS_WALKED", 5)
    monkeypatch.setattr(walk, "MAX_LOOKED_AT", 5)
    task, run = site
    browser = browser_of_superuser()
    pages = [
        address + query
        for address in addresses(task=task.pk, run=run.pk, queue=1, verb="run", name="run_now")
        for query in (QUERIES if address.endswith("/runs/") else ("", PARTS))
    ]
    for address in (*pages, *IN_ADMIN):
        cache.clear()
        with CaptureQueriesContext(connection) as seen:
            browser.get(address)
        assert scans(seen) == [], address
