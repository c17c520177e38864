"""Do the code, the manual and the glossary use the same words?"""

import re

import pytest
from django.db import models
from django.dispatch import Signal

from sisy import signals
from sisy.models import Attempt, Process, Queue, Run, RunState, Task
from sisy.records import choices
from tests.docs.pages import DOCS, ROOT, tables_of, words_in

SEARCHED = (
    ("src/sisy", ("py", "html", "js", "css")),
    ("docs", ("md", "py")),
    ("tests", ("py",)),
    ("benchmarks", ("py",)),
    ("example", ("py", "html")),
)
LEFT = ("static/sisy/vendor", "sisy/migrations", "docs/_build", "tests/docs/test_words.py")

RETIRED = {
    # stored words
    r"RunState\.WAITING": "RunState.QUEUED",
    r"""(?<=["'`])waiting(?=["'`])""": "queued",
    r"(?<=\.)waiting\(\)": "queued()",
    r"a?cancel_waiting": "cancel_queued",
    r"runs_waiting": "runs_queued",
    r"""(?<!_\()(?<!_out", )["'`]timed out["'`]""": "timed_out",
    r"Origin\.PERSON": "Origin.MANUAL",
    # columns
    r"""(?<=["'`])mark(?=["'`])|(?<!pytest)\.mark(?= )|mark__\w+""": "planned_until",
    r"planned_as": "timing_fingerprint",
    r"planned_from": "planning_since",
    r"stands_for": "occurrence_at",
    r"""(?<=["'`])holder(?=["'`])|holder_id|(?<=run\.)holder""": "process",
    r"(?<=run\.)worker|(?<=attempt\.)worker": "worker_name",
    r"cancel_asked_at": "cancel_requested_at",
    r"cancel_by_force": "cancel_force",
    r"drain_asked_at": "drain_requested_at",
    r"tell_at": "notify_at",
    r"told_at": "notified_at",
    r"is_told": "is_notified",
    # signals and methods
    r"is_heard(_here)?": "has_receivers, can_publish",
    r"hears_own": "receives_own",
    r"tell_(here|changed|retired|parent)": "publish_here, send_changed, …",
    r"cancel_asked": "cancel_requested",
    r"drain_asked": "drain_requested",
    r"a?ask_to_cancel": "request_cancel",
    r"a?ask_to_drain": "request_drain",
    r"edited_behind_our_back": "with_stale_timing",
    r"seen_to_end": "reported_dead",
    r"of_own_workers": "native",
    r"may_go_on": "possibly_running",
    # modules and classes
    r"sisy\.queries": "sisy.reports",
    r"sisy\.(display|disclosure)": "sisy.reports.formatting, .disclosure",
    r"sisy\.reports\.(coming|schedules|lately|latest|counts|related)": "forecast, load, …",
    r"sisy\.reports\.(queued|service|status|processes|health)": "explain, fleet, alerts",
    r"sisy\.enqueued": "sisy.django_tasks",
    r"sisy\.(nearest|telling|announcing|lifeline)": "suggestions, signal_dispatch, …",
    r"sisy\.worker\.(ears|hand|pace|requests|claimer|claiming|recorder)": "listener, prefetch, …",
    r"sisy\.heartbeat\.(vigil|setback|broken|occurrences)": "suspension_guard, …",
    r"sisy\.execution\.(going|here|handle|orders|awaiting)": "run_handle, inline, …",
    r"Ears": "ChannelListener",
    r"Postman": "Sender",
    r"Letter": "PendingMessage",
    r"sisy\.(alerting\.telling|messaging\.letters)": "alerting.notifying, …",
    r"Vigil": "SuspensionGuard",
    r"TracksChanges": "DirtyFields",
    r"PUNCTUAL": "ON_TIME_TOLERANCE",
    r"Worry": "Alert",
    r"Wanted(Runs|Tasks)?": "Filter",
    r"Rehearsal": "Forecast",
    r"Crowding": "TaskForecast",
    r"CarryOut|carry_out_(inline|handed)": "Execute, execute_inline, execute_dispatched",
    r"leave_to_teller|Teller": "send_in_thread, SignalThread",
    # constants whose names say nothing of what they bound
    r"(MANY|MOST|READ|SHOWN|NAMED|AT_ONCE|A_FEW|PATIENCE|APART)(?= = )": "MAX_…, …_BATCH, …",
}
RENAMED_COLUMNS = {
    Task: {"planned_until", "timing_fingerprint", "planning_since"},
    Run: {"occurrence_at", "process", "cancel_requested_at", "cancel_force"},
}


def texts():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md"):
        yield page, page.read_text()
    for folder, endings in SEARCHED:
        for ending in endings:
            for path in sorted((ROOT / folder).rglob(f"*.{ending}")):
                if not any(part in path.as_posix() for part in LEFT):
                    yield path, path.read_text()


ALL = [(path.relative_to(ROOT).as_posix(), text) for path, text in texts()]


def glossary():
    return [row[0] for row in tables_of(DOCS / "glossary.md")["Term"]]


def fields():
    records = (Task, Run, Process, Attempt, Queue)
    return {field.name for model in records for field in model._meta.fields}


def stands_alone(text, hit):
    before, behind = text[hit.start() - 1 : hit.start()], text[hit.end() : hit.end() + 1]
    return not re.match(r"[\w-]", before) and not re.match(r"\w", behind)


@pytest.mark.parametrize("word", RETIRED)
def test_a_retired_word_is_gone(word):
    found = [
        f"{path}:{text.count(chr(10), 0, hit.start()) + 1}"
        for path, text in ALL
        for hit in re.finditer(word, text)
        if stands_alone(text, hit)
    ]
    assert found == [], f"write {RETIRED[word]}"


def stored_words():
    enumerations = [
        each
        for each in vars(choices).values()
        if isinstance(each, type) and issubclass(each, models.TextChoices)
    ]
    return [value for each in enumerations for value in each.values]


def test_no_stored_word_contains_a_space():
    values = stored_words()
    assert len(values) > 30
    assert [value for value in values if not re.fullmatch("[a-z_]+", value)] == []


def test_the_glossary_quotes_columns_and_stored_words_that_exist():
    quoted = {word for term in glossary() for word in words_in(term)}
    assert quoted - fields() - {*stored_words()} == set()


def test_the_glossary_has_the_new_words():
    terms = " ".join(glossary())
    for columns in RENAMED_COLUMNS.values():
        assert all(re.search(rf"\b{name}\b", terms) for name in columns)
    for word in (RunState.QUEUED, RunState.TIMED_OUT, choices.Origin.MANUAL):
        assert re.search(rf"\b{word.value}\b", terms)


def test_renamed_columns_are_columns():
    for model, names in RENAMED_COLUMNS.items():
        assert names <= {field.name for field in model._meta.fields}


def test_the_manual_names_each_state_and_each_signal():
    manual = "\n".join(text for path, text in ALL if path.startswith("docs/"))
    names = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    missing = {
        word
        for word in {*RunState.values, *choices.TaskState.values, *choices.Origin.values, *names}
        if f"`{word}`" not in manual
    }
    assert missing == set()
