"""A real Prometheus scrapes a site, and evaluates the manual's board and alert rules."""

import json
import re
import subprocess

import pytest
import yaml

from sisy.monitoring import counting
from tests.docs.pages import DOCS, words_in
from tests.monitoring.asking import TOKEN
from tests.monitoring.families import LABELS, stored_names
from tests.monitoring.test_counting import execute
from tests.monitoring.test_documented_metrics import TABLES
from tests.monitoring.test_metrics import up
from tests.servers import prometheus
from tests.servers.prometheus import PrometheusServer
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled
from tests.support.waiting import wait_until

BOARD = json.loads((DOCS / "files" / "sisy-dashboard.json").read_text())
RULES_FILE = DOCS / "files" / "sisy-alerts.yml"
RULES = [
    rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]
]

VARIABLES = {"$instance": ".*", "$queue": ".*", "$__rate_interval": "1m"}
OF_PROMETHEUS = {"instance", "job", "le", "alertname"}

needs_prometheus = pytest.mark.skipif(
    prometheus.binary() is None or prometheus.binary("promtool") is None,
    reason="Prometheus is not installed: apt-get install prometheus",
)


def expressions_of_board():
    """Return what the panels of the board show, by the title of the panel."""
    return [
        (panel["title"], target["expr"])
        for panel in BOARD["panels"]
        for target in panel.get("targets", ())
    ]


def expressions():
    return expressions_of_board() + [(rule["alert"], rule["expr"]) for rule in RULES]


def without_variables(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


@pytest.mark.django_db
@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(("title", "expression"), expressions())
def test_each_expression_names_metrics_and_labels_that_exist(title, expression):
    names = set(re.findall(r"\bsisy_\w+", expression))
    assert names <= stored_names()
    assert names or "up{" in expression
    matched = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression))
    grouped = {
        label.strip()
        for labels in re.findall(r"by \(([^)]*)\)", expression)
        for label in labels.split(",")
    }
    stems = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    known = {label for stem in stems for label in LABELS.get(stem, ())} | OF_PROMETHEUS
    known |= {label for name in names for label in LABELS.get(name, ())}
    assert matched | grouped <= known


def test_the_board_has_no_two_panels_at_one_place_or_with_one_key():
    panels = BOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_each_rule_has_a_severity_and_a_summary():
    assert {rule["labels"]["severity"] for rule in RULES} == {"critical", "warning"}
    assert all(rule["annotations"]["summary"].endswith((".", ").")) for rule in RULES)
    assert len({rule["alert"] for rule in RULES}) == len(RULES)


def test_the_manual_lists_each_rule():
    told = {words_in(alert)[0]: severity for alert, severity, _ in TABLES["Alert"]}
    assert told == {rule["alert"]: rule["labels"]["severity"] for rule in RULES}


@pytest.fixture
def site(live_server, settings, noon):
    """Return the address of a site without a heartbeat, on which runs have ended and wait."""
    settings.SISY_MONITORING_TOKEN = TOKEN
    settings.SISY_METRICS_TASKS = ["tea"]
    counting.forget()
    up("default", "mail")
    execute(3)
    counting.flush("default")
    scheduled("0 0 1 1 *", queue="cpu").run_now()
    noon.moment = NOON + 10 * MINUTE
    yield live_server.url.removeprefix("http://")
    counting.forget()


@needs_prometheus
@pytest.mark.django_db(transaction=True)
def test_prometheus_scrapes_a_site_and_evaluates_the_board_and_the_rules(site):
    with PrometheusServer(site, token=TOKEN, rules=RULES_FILE) as server:

        def value_of(expression):
            return [one["value"][1] for one in server.ask("query", query=expression)["result"]]

        wait_until(lambda: value_of("sisy_queue_ready_runs") != [], "it has scraped the site")
        assert value_of('sisy_queue_oldest_ready_seconds{queue="cpu"}') == ["600"]
        assert value_of('sisy_runs_total{queue="default",outcome="succeeded"}') == ["3"]
        assert value_of('sisy_task_duration_seconds_count{task="tea"}') == ["3"]
        [target] = server.ask("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
        for _, expression in expressions_of_board():
            server.ask("query", query=without_variables(expression))

        def states():
            found = server.ask("rules")["groups"][0]["rules"]
            return {rule["name"]: rule["state"] for rule in found if rule["health"] == "ok"}

        def begun():
            return {name for name, state in states().items() if state != "inactive"}

        wait_until(lambda: len(states()) == len(RULES), "it has evaluated all rules")
        # Rules that were evaluated before the first scrape still say that the site is unreachable.
        expected = {
            *("SisyNoHeartbeat", "SisyQueueSlow", "SisyQueueWithoutWorker", "SisyLeasesExpired")
        }
        wait_until(lambda: begun() == expected, "exactly the alerts of this site are pending")


HEALTHY = {
    'up{job="sisy",instance="a"}': "1x60",
    'sisy_processes{instance="a",role="heartbeat"}': "1x60",
    'sisy_planning_overdue_seconds{instance="a"}': "0x60",
    'sisy_queue_ready_runs{instance="a",engine="sisy",queue="mail"}': "5x60",
    'sisy_queue_slots{instance="a",engine="sisy",queue="mail"}': "4x60",
    'sisy_queue_paused{instance="a",engine="sisy",queue="mail"}': "0x60",
    'sisy_queue_oldest_ready_seconds{instance="a",engine="sisy",queue="mail"}': "3x60",
    'sisy_run_lateness_seconds_bucket{instance="a",queue="mail",le="60.0"}': "0+100x60",
    'sisy_run_lateness_seconds_bucket{instance="a",queue="mail",le="300.0"}': "0+100x60",
    'sisy_run_lateness_seconds_bucket{instance="a",queue="mail",le="+Inf"}': "0+100x60",
    'sisy_runs_total{instance="a",queue="mail",outcome="succeeded"}': "0+100x60",
    'sisy_runs_total{instance="a",queue="mail",outcome="failed"}': "0+1x60",
    'sisy_runs_total{instance="a",queue="mail",outcome="missed"}': "0x60",
    'sisy_runs_total{instance="a",queue="mail",outcome="lost"}': "0x60",
    'sisy_leases_expired{instance="a"}': "0x60",
    'sisy_outbox_messages{instance="a",state="failed"}': "0x60",
    'sisy_outbox_oldest_seconds{instance="a"}': "0x60",
    'sisy_alerts_open{instance="a",kind="no_worker",severity="critical"}': "0x60",
}
"""The series of a healthy site, one value a minute."""

PROBLEMS = {
    "SisyUnreachable": {'up{job="sisy",instance="a"}': "0x60"},
    "SisyNoHeartbeat": {'sisy_processes{instance="a",role="heartbeat"}': "0x60"},
    "SisyNotPlanning": {'sisy_planning_overdue_seconds{instance="a"}': "90x60"},
    "SisyQueueWithoutWorker": {
        'sisy_queue_slots{instance="a",engine="sisy",queue="mail"}': "0x60"
    },
    "SisyQueueSlow": {
        'sisy_queue_oldest_ready_seconds{instance="a",engine="sisy",queue="mail"}': "900x60"
    },
    "SisyRunsLate": {
        'sisy_run_lateness_seconds_bucket{instance="a",queue="mail",le="60.0"}': "0+80x60"
    },
    "SisyRunsFailing": {'sisy_runs_total{instance="a",queue="mail",outcome="failed"}': "0+50x60"},
    "SisyOccurrencesMissed": {
        'sisy_runs_total{instance="a",queue="mail",outcome="missed"}': "0x25 1x35"
    },
    "SisyRunsLost": {'sisy_runs_total{instance="a",queue="mail",outcome="lost"}': "0x25 1x35"},
    "SisyLeasesExpired": {'sisy_leases_expired{instance="a"}': "2x60"},
    "SisyMessagesNotSent": {'sisy_outbox_messages{instance="a",state="failed"}': "1x60"},
    "SisyAlertOpen": {
        'sisy_alerts_open{instance="a",kind="no_worker",severity="critical"}': "1x60"
    },
}
"""What differs from a healthy site where an alert fires after half an hour."""


def series(problem):
    values = HEALTHY | PROBLEMS.get(problem, {})
    return [{"series": name, "values": value} for name, value in values.items()]


@needs_prometheus
def test_each_rule_fires_for_its_problem_and_for_no_other(tmp_path):
    assert {rule["alert"] for rule in RULES} == PROBLEMS.keys()
    tests = [
        {
            "interval": "1m",
            "input_series": series(problem),
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "30m",
                    "exp_samples": [{"labels": f'{{alertname="{problem}"}}', "value": 1}]
                    if problem
                    else [],
                }
            ],
        }
        for problem in ["", *PROBLEMS]
    ]
    file = tmp_path / "tests.yml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": [str(RULES_FILE)], "evaluation_interval": "1m", "tests": tests}
        )
    )
    ended = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@needs_prometheus
def test_promtool_accepts_the_rules():
    checked = ["promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES_FILE]
    ended = subprocess.run(checked, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
