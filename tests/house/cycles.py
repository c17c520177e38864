"""Modules that import each other in a cycle."""

import ast
from collections.abc import Iterator

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
    names = {module.name for module in modules}
    return {module.name: set(_imported(module, names)) - {module.name} for module in modules}


def _imported(module: Module, names: set[str]) -> Iterator[str]:
    for node in _without_types(module.tree):
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
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for otherwise in child.orelse:
                yield otherwise
                yield from _without_types(otherwise)
            continue
        yield child
        yield from _without_types(child)


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    ahead = list(graph[start])
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += graph.get(name, ())
    return found
