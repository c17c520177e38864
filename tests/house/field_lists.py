"""Finds lists of a task's fields that are written out beside the table of them."""

import ast
from collections.abc import Iterator, Set

from tests.house.source import Module

MIN_FIELDS = 3

QUERY_METHODS = {"defer", "only"}
"""Methods of query sets whose arguments are a list of fields."""


def field_lists(modules: list[Module], fields: Set[str]) -> list[str]:
    """Return where modules list three fields or more, as ``path:line name``.

    A list is a tuple, list or set of names, or the arguments of ``defer()`` and ``only()``. At the
    top of a module or of a class, a dict by name is one, too; within a function it is a record.

    Args:
        fields: the names that count.
    """
    return [
        f"{module.path}:{line} {name}"
        for module in modules
        for line, name in sorted(set(_found(module.tree, (), fields)))
    ]


def _found(
    node: ast.AST, where: tuple[str, ...], fields: Set[str], *, in_function: bool = False
) -> Iterator[tuple[int, str]]:
    where = (*where, *_names_of(node))
    in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    named = _names_in(node, in_function=in_function)
    if len(fields & {*named}) >= MIN_FIELDS:
        yield getattr(node, "lineno", 1), ".".join(where)
    for child in ast.iter_child_nodes(node):
        yield from _found(child, where, fields, in_function=in_function)


def _names_of(node: ast.AST) -> list[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [one.id for one in targets if isinstance(one, ast.Name)]


def _names_in(node: ast.AST, *, in_function: bool) -> list[str]:
    """Return the texts that a list names; empty if the node is none."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return _texts(node.elts)
    if isinstance(node, ast.Dict) and not in_function:
        return _texts([one for one in node.keys if one is not None])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _texts(node.args) if node.func.attr in QUERY_METHODS else []
    return []


def _texts(nodes: list[ast.expr]) -> list[str]:
    return [one.value for one in nodes if isinstance(one, ast.Constant) and type(one.value) is str]
