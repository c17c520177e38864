"""Modules that import each other in a cycle."""

import ast
from collections.abc import Callable, Iterator
from typing import TypeGuard

from tests.house.source import Module

Graph = dict[str, set[str]]


def cycles(modules: list[Module]) -> list[list[str]]:
    """Return the largest sets of modules that all import each other, directly or through others.

    Imports inside functions count; imports under ``if TYPE_CHECKING`` do not. That Python imports
    the package before its modules does not count either.
    """
    graph = imports(modules)
    groups: list[list[str]] = []
    seen: set[str] = set()
    reached = {name: _reachable(graph, name) for name in graph}
    for name in sorted(graph):
        group = {other for other in reached[name] if name in reached[other]}
        if group and name not in seen:
            groups.append(sorted(group))
        seen |= group
    return sorted(groups, key=lambda group: (-len(group), group))


def imports(modules: list[Module]) -> Graph:
    """Return the modules of the package that each of its modules imports."""
    return _graph(modules, _without_types)


def imports_for_types(modules: list[Module]) -> Graph:
    """Return the modules that each module imports for type checkers only."""
    return _graph(modules, _only_for_types)


def _graph(modules: list[Module], nodes: Callable[[ast.AST], Iterator[ast.AST]]) -> Graph:
    names = {module.name for module in modules}
    return {
        module.name: set(_imported(module, names, nodes(module.tree))) - {module.name}
        for module in modules
    }


def _imported(module: Module, names: set[str], nodes: Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in names)
        elif isinstance(node, ast.ImportFrom):
            source = _source(module, node)
            for alias in node.names:
                # ``from package import name`` is the module of that name, if there is one.
                one = f"{source}.{alias.name}"
                if found := one if one in names else source if source in names else None:
                    yield found


def _source(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parents = module.name.split(".")
    parents = parents[: len(parents) - node.level + module.is_package]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _without_types(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but those that are only there for a type checker."""
    for child in ast.iter_child_nodes(node):
        if _is_for_types(child):
            for otherwise in child.orelse:
                yield otherwise
                yield from _without_types(otherwise)
            continue
        yield child
        yield from _without_types(child)


def _only_for_types(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that are only there for a type checker."""
    for block in filter(_is_for_types, ast.walk(node)):
        for statement in block.body:
            yield from ast.walk(statement)


def _is_for_types(node: ast.AST) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += graph.get(name, ())
    return found
