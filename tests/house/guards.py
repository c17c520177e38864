"""Finds code that only one package may contain: it writes a state, runs SQL, or sleeps."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.house.source import Module

# The statements of store/ that write a state in their text, or insert rows in one.
STATE_WRITERS = {"insert_runs", "insert_with_task", "write_outcomes", "write_started"}
# Calls that read by a state, or make a value of it, and write no row.
READS = {"Case", "Outcome", "Q", "When", "count", "exclude", "exists", "filter", "get"}


@dataclass(frozen=True, slots=True)
class Guard:
    """A rule about code that only some parts of the source may contain.

    Attributes:
        allowed: how the paths of these parts begin.
        finds: returns whether a node is such code.
    """

    rule: str
    allowed: tuple[str, ...]
    finds: Callable[[ast.AST], bool]

    def places(self, modules: list[Module]) -> list[str]:
        """Return the places that break the rule, as ``path:line``."""
        outside = [module for module in modules if not module.path.startswith(self.allowed)]
        return [f"{one.path}:{line}" for one in outside for line in self._lines(one)]

    def _lines(self, module: Module) -> Iterator[int]:
        yield from sorted({node.lineno for node in ast.walk(module.tree) if self.finds(node)})


def assigns_run_state(node: ast.AST) -> bool:
    """Return whether a run's state is written.

    It is written by ``run.state = …``, ``update(state=RunState.LOST)``,
    ``{"state": RunState.LOST}`` and a call of a statement that has a state in its text, but not by
    ``filter(state=RunState.LOST)``.
    """
    is_statement = isinstance(node, ast.Call) and _called(node) in STATE_WRITERS
    return is_statement or _assigns_state(node, "run", "RunState")


def assigns_task_state(node: ast.AST) -> bool:
    """Return whether a task's state is written, in the ways in which a run's is."""
    return _assigns_state(node, "task", "TaskState")


def _assigns_state(node: ast.AST, owner: str, states: str) -> bool:
    if isinstance(node, ast.Assign):
        return any(_is_state(target, node.value, owner, states) for target in node.targets)
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return any(_is_named_state(key) and _names_one(value, states) for key, value in pairs)
    if isinstance(node, ast.Call) and _called(node) not in READS:
        return any(one.arg == "state" and _names_one(one.value, states) for one in node.keywords)
    return False


def executes_sql(node: ast.AST) -> bool:
    """Return whether SQL is executed on a cursor."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"execute", "executemany"}
        and "cursor" in ast.unparse(node.func.value).lower()
    )


def sleeps(node: ast.AST) -> bool:
    """Return whether a thread sleeps. A coroutine may, because it can be cancelled meanwhile."""
    is_call = isinstance(node, ast.Call) and _called(node) == "sleep"
    return is_call and not ast.unparse(node).startswith("asyncio.")


GUARDS = (
    # An outcome says how a function ended; it is a value, and no row is written with it there.
    Guard(
        "RunState is assigned only in lifecycle/ (and in outcomes)",
        ("lifecycle/", "records/outcome.py"),
        assigns_run_state,
    ),
    Guard(
        "TaskState is assigned only in lifecycle/task_state.py",
        ("lifecycle/task_state.py",),
        assigns_task_state,
    ),
    Guard(
        "cursor.execute appears only in store/ and clock.py", ("store/", "clock.py"), executes_sql
    ),
    Guard("A thread sleeps only in runtime/", ("runtime/",), sleeps),
)


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func).rpartition(".")[2]


def _is_state(target: ast.AST, value: ast.AST, owner: str, states: str) -> bool:
    if isinstance(target, ast.Tuple):
        return any(_is_state(one, value, owner, states) for one in target.elts)
    if not (isinstance(target, ast.Attribute) and target.attr == "state"):
        return False
    return ast.unparse(target.value).rpartition(".")[2] == owner or _names_one(value, states)


def _is_named_state(key: ast.AST | None) -> bool:
    return isinstance(key, ast.Constant) and key.value == "state"


def _names_one(node: ast.AST, states: str) -> bool:
    """Return whether an expression names a state, such as ``RunState.LOST``."""
    return any(
        isinstance(one, ast.Attribute)
        and ast.unparse(one.value).endswith(states)
        and one.attr.isupper()
        for one in ast.walk(node)
    )
