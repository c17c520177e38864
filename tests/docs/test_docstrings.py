"""Docstrings say what a thing is or does, and do not open with a question."""

import ast
import re

from tests.docs.pages import ROOT

QUESTION = re.compile(r"(What|How|Why|Whether)\b")


def test_no_docstring_opens_like_a_question():
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "src" / "sisy").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and QUESTION.match(str(node.value.value).lstrip())
    ]
    assert not found, "write an imperative, or a noun phrase for a value"
