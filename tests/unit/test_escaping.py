"""Text of others on a line of a log or a terminal."""

import ast
import json
import logging
import sys
from pathlib import Path

import pytest

import sisy
from sisy.models import Run, Task
from sisy.records.outcome import of_cancelling, of_error, of_loss, of_value
from sisy.records.task import check_columns
from sisy.runtime.escaping import escaped, escaped_json, first_obeyed
from sisy.runtime.log import EscapingFilter, log_named
from tests.support.hostile import FORGED, HOSTILE, OBEYED, flaw_in
from tests.support.moments import NOON

SPAN = NOON, NOON
SOURCES = [
    path for path in Path(sisy.__file__).parent.rglob("*.py") if "testing" not in path.parts
]


def test_control_characters_are_written_as_python_escapes():
    assert escaped("a\nb\x1b[2J\u202ec\u2028") == r"a\nb\x1b[2J\u202ec\u2028"
    assert not flaw_in(escaped(HOSTILE))
    assert escaped(escaped(HOSTILE)) == escaped(HOSTILE)
    assert escaped(7) == "7"


def test_ordinary_text_stays_unchanged():
    said = "Kékszakállú, नमस्ते, \u0645\u06cc\u200c\u062e, 👩\u200d💻, \\n, 東京 — ok"
    assert escaped(said) == said
    assert not first_obeyed(said)


@pytest.mark.parametrize("character", OBEYED)
def test_a_label_contains_no_control_or_invisible_characters(character):
    task = Task(label=f"tea{character}time", target_path="tests.app.jobs.noop")
    with pytest.raises(ValueError, match="label must"):
        check_columns(task, frozenset({"label"}))


def test_escaped_json_has_the_same_value_and_no_control_characters():
    value = {HOSTILE: [HOSTILE, "é"]}
    text = escaped_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert "é" in text
    assert not flaw_in(text)


class Hostile(Exception):
    def __str__(self):
        return HOSTILE


def test_a_reason_is_one_line():
    outcomes = (
        of_error(SPAN, Hostile()),
        of_cancelling(SPAN, HOSTILE),
        of_loss(SPAN, HOSTILE),
        of_value(SPAN, {1, HOSTILE}),
    )
    for outcome in outcomes:
        assert not first_obeyed(outcome.reason)
    assert of_error(SPAN, ValueError("first\nsecond\n")).reason == r"ValueError: first\nsecond"


@pytest.mark.parametrize(
    "column",
    [(Run, "reason"), (Run, "cancel_reason"), (Task, "state_reason"), (Task, "target_error")],
)
def test_every_stored_reason_is_one_line(column):
    model, name = column
    stored = model._meta.get_field(name).get_prep_value(HOSTILE * 20)
    assert not first_obeyed(stored)
    assert len(stored) == 500


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s sisy %(levelname)s %(message)s"))
        self.lines, self.records = [], []

    def emit(self, record):
        self.records.append(record)
        self.lines.append(self.format(record))


@pytest.fixture
def lines():
    handler = Lines()
    log = logging.getLogger("sisy")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def test_no_log_line_forges_another_or_controls_the_terminal(lines):
    log = log_named("sisy.tests")
    log.warning("%s said %s %r %d %g", Hostile(), HOSTILE, HOSTILE, 3, 0.5)
    log.warning("%(what)s", {"what": HOSTILE})
    log.warning("Dropped: %.200r", {"type": HOSTILE})
    try:
        raise Hostile
    except Hostile:
        log.exception("It failed: %s", HOSTILE)
    log.error("It failed", exc_info=Hostile())
    assert len(lines.lines) == 5
    for line in lines.lines:
        assert not flaw_in(line)
    assert f"\n  {FORGED}" in lines.lines[3], "a traceback keeps its lines, indented"
    assert lines.records[3].msg == "It failed: %s", "trackers group by the template"
    assert lines.records[3].exc_info[0] is Hostile


def test_every_logger_of_sisy_is_escaped():
    named = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "getLogger":
                named |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    import sisy.messaging.run_log  # noqa: F401 - makes its loggers

    named |= {name for name in logging.root.manager.loggerDict if name.startswith("sisy")}
    assert {"sisy", "sisy.runs", "sisy.tasks", "sisy.workers"} <= named
    for name in named:
        assert any(isinstance(one, EscapingFilter) for one in logging.getLogger(name).filters), (
            name
        )
    assert "sisy.runtime.log" in sys.modules
