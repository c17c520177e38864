"""Words agree with their numbers, in all of the source: "1 run is queued", "2 runs are queued"."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "sisy"

NOUNS = "|".join(
    (
        "attempts",
        "bars",
        "characters",
        "columns",
        "days",
        "declarations",
        "errors",
        "failures",
        "fields",
        "files",
        "functions",
        "groups",
        "heartbeats",
        "hours",
        "iterations",
        "lines",
        "messages",
        "minutes",
        "missed",
        "modules",
        "moments",
        "months",
        "occurrences",
        "others",
        "problems",
        "processes",
        "queues",
        "rows",
        "runs",
        "schedules",
        "seconds",
        "slots",
        "steps",
        "tasks",
        "times",
        "weeks",
        "workers",
        "years",
    )
)
# "It runs every second" names no number of runs.
VERB = r"(?! (?:every|once|one)\b)"
PLURAL = rf"[ ,](?:(?:more|missed|other|queued|further) )?(?:{NOUNS})\b{VERB}"
PLACE = r"%(?:\(\w+\))?[dsg]"

ALLOWED = {
    "is only said of more than one": [
        "{count} Sisy processes are running.",
        "{run} records {run.count} missed occurrences,",
        "{len(texts)} fields",
        "This drains {len(chosen)} workers:",
        "{% if run.count > 1 %}",
    ],
    "is always more than one": [
        "has {len(text)} characters, but Sisy stores at most",
        "The name of {path} has {len(name)} characters.",
        "{path!r:.100} has {len(path)} characters, but a path has at most",
        "it has {len(text)} characters as JSON, more than the limit",
        "The schedule has {len(expression)} characters.",
        "Use at most %d characters.",
        "Searched the newest {found.looked_at:,} runs",
    ],
}


def is_allowed(text):
    return any(each in text for several in ALLOWED.values() for each in several)


def named(call):
    function = call.func
    return getattr(function, "id", getattr(function, "attr", ""))


def agreeing(tree):
    """Return the texts that are chosen by a number, or read by no one, such as docstrings."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and named(node).startswith(("ngettext", "npgettext")):
            found |= {id(each) for argument in node.args for each in ast.walk(argument)}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.add(id(node.value))
    return found


def is_constant(node):
    """Whether a number in a text is always the same, and large: ``MOST``, ``LONGEST.days``."""
    return ast.unparse(node.value).partition(".")[0].isupper()


def disagreeing_in(path):
    tree = ast.parse(path.read_text())
    well = agreeing(tree)
    for node in ast.walk(tree):
        if id(node) in well:
            continue
        if isinstance(node, ast.JoinedStr):
            well |= {id(each) for each in node.values}
            for before, after in zip(node.values, node.values[1:], strict=False):
                is_number = isinstance(before, ast.FormattedValue) and not is_constant(before)
                text = after.value if isinstance(after, ast.Constant) else ""
                if is_number and re.match(PLURAL, str(text)):
                    yield node.lineno, ast.unparse(node)[2:-1]
        elif isinstance(node, ast.Constant) and re.search(PLACE + PLURAL, str(node.value)):
            yield node.lineno, str(node.value)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.stem)
def test_words_agree_with_numbers_in_code(path):
    found = [(line, text) for line, text in disagreeing_in(path) if not is_allowed(text)]
    assert not found, f"use ngettext in {path}: {found}"


BLOCK = re.compile(r"{% blocktrans(?:late)?([^%]*)%}(.*?){% endblocktrans(?:late)? %}", re.DOTALL)


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.html")), ids=lambda path: path.stem)
def test_words_agree_with_numbers_in_templates(path):
    text = path.read_text()
    counted = [match for match in BLOCK.finditer(text) if " count " in match[1]]
    for match in counted:
        text = text.replace(match[0], "")
    lines = [line for line in text.splitlines() if re.search(rf"\}}\}}{PLURAL}", line)]
    found = [line for line in lines if not is_allowed(line)]
    assert not found, f"use blocktranslate count in {path}: {found}"


@pytest.mark.parametrize(
    ("code", "is_wrong"),
    [
        ('f"{count} runs wait"', True),
        ('f"{count:,} missed occurrences"', True),
        ('gettext("%d runs wait") % count', True),
        ('logger.info("%d runs are queued", count)', True),
        ('ngettext("%d run waits", "%d runs wait", count) % count', False),
        ('f"at most {MOST} runs"', False),
        ('f"run {pk} waits"', False),
    ],
)
def test_the_search_finds_disagreeing_words(tmp_path, code, is_wrong):
    (tmp_path / "some.py").write_text(code)
    assert bool(list(disagreeing_in(tmp_path / "some.py"))) is is_wrong
