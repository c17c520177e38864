"""Texts that people read use one phrase for each thing."""

import ast
import re

import pytest

from tests.docs.pages import DOCS, ROOT

SOURCE = ROOT / "src" / "sisy"

RETIRED = {
    r"[Aa]sked to stop by force|[Cc]ancel by force|forced to stop": "force cancel",
    r"set aside as broken": "marked as broken",
    r"\b(TERM|INT)\b": "SIGTERM, SIGINT",
    r"not repeated|is repeated": "rerun",
    r"cannot start functions": "cannot start runs",
    r"[Uu]sually takes": "typical duration",
    r"nothing is planned": "no new runs are planned",
    r"target broken|another target\b": "function",
    r"not a valid moment": "not a valid date and time",
    r"is not within": "out of range",
    r"Since when the|\bHow often a run|every so many|unless they name one": "plain English",
    r"reaches the database": "can reach the database",
    r"[Rr]equested the cancellation": "requested cancellation",
    r"exists twice": "occurs twice",
    r"longest wait": "maximum delay",
    r"[Uu]sual duration": "typical duration",
    r"leads to a different": "is a different",
    r"no longer [a-z ]*\bsince\b": "not … since",
    r"[Ww]orkers of (default|mail|\{)|processes of this host": "workers for, processes on",
    r"worked off|bring along": "executed, installed",
    r"Released, because": "the cause alone: the state says that the run was released",
    r"outside of (the|a|its|this)\b": "outside the",
    r"\buses? up no\b": "does not use up",
    r"[Ss]omebody|[Nn]obody|[Ww]hoever": "who it is",
    r"in the order of time": "in chronological order",
    r"all about (a|an|one|it)\b": "the details of",
    r"([Pp]eople|[Yy]ou|[Nn]o one) (are|is) told\b|[Gg]et told|told of\b": "notified",
    r"how far (it|a run|the run) is": "its progress",
    r"\bat least so many|\bso many (runs|tasks|times)": "this many, that many",
    r"\bleads? to (these|its|the (tasks|runs))\b": "links to",
    r"stands? for any": "matches any",
    r"which was done before|it was done before|take care of it|you take care": "handle",
    r"\banew\b|\bin vain\b|[Aa]nybody|[Ee]verybody|\bno problem at\b": "plain English",
    r",? also (if|when|after|between)\b": "even if, even after, including",
    r"(changed|added|deleted|opened) meanwhile": "in the meantime",
    r"[Pp]ress it\b": "click it",
    r"is sent again\.|are sent again\.": "will be sent again",
    r"(?<!to )[Ll]ook further back": "search further back",
    r"also by force|[Uu]se force": "force cancel",
    r"once more\b|in spite of": "again, despite",
    r"fails? now and then": "fails intermittently",
}


def spoken():
    """Yield each text of the source that people may read, without docstrings, and each page."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        silent = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and id(node) not in silent:
                yield path, node.value
    for folder, ending in ((SOURCE, "html"), (DOCS, "md")):
        for path in sorted(folder.rglob(f"*.{ending}")):
            if "_build" not in path.parts:
                yield path, path.read_text()
    for name in ("README.md", "CONTRIBUTING.md", "Makefile"):
        yield ROOT / name, (ROOT / name).read_text()


@pytest.fixture(scope="module")
def texts():
    return list(spoken())


@pytest.mark.parametrize("phrase", RETIRED)
def test_a_retired_phrase_is_gone(texts, phrase):
    found = [str(path.relative_to(ROOT)) for path, text in texts if re.search(phrase, text)]
    assert not found, f"write instead: {RETIRED[phrase]}"
