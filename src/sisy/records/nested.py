"""Read, write, copy and compare JSON values of any depth, without recursion.

Python's own functions raise a RecursionError at a few hundred levels. Sisy accepts only
`MAX_DEPTH` levels, but must be able to show whatever is stored.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

MAX_DEPTH = 30
"""The maximum depth of userdata and return values. MariaDB accepts at most 32 levels."""

INDENTED = 30
"""The number of levels that are written on separate lines. Deeper levels are on one line."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]|[^\s,:\[\]{}"]+')


CONTAINERS = (dict, list, tuple)


def containers(value: Any) -> Iterator[tuple[Any, int]]:
    """Yield the dicts, lists and tuples in a value, each with its depth, from 1.

    It never ends if the value contains itself: stop at a depth.
    """
    rest = [(value, 1)] if isinstance(value, CONTAINERS) else []
    while rest:
        each, depth = rest.pop()
        yield each, depth
        rest += [(one, depth + 1) for one in _inner(each)]


def _inner(container: Any) -> list[Any]:
    """Return the containers that a container has as values."""
    values = container.values() if isinstance(container, dict) else container
    return [one for one in values if isinstance(one, CONTAINERS)]


def is_too_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than `MAX_DEPTH`. True if it contains itself."""
    return any(depth > MAX_DEPTH for _, depth in containers(value))


def copied(value: Any, instead: Callable[[Any], Any] | None = None) -> Any:
    """Return a deep copy of ``value``. Tuples become lists, as in JSON.

    Args:
        instead: called with each key; returns a replacement for its value, or None to keep it.
    """
    if type(value) is dict and instead is None and not _inner(value):
        return value.copy()
    top: list[Any] = []
    rest: list[tuple[Any, Any]] = [([value], top)]
    while rest:
        source, copy = rest.pop()
        is_dict = isinstance(source, dict)
        for key, each in source.items() if is_dict else enumerate(source):
            new = instead(key) if instead is not None and is_dict else None
            if new is None:
                new = {} if isinstance(each, dict) else each
                new = [] if isinstance(each, list | tuple) else new
                if isinstance(each, dict | list | tuple):
                    rest.append((each, new))
            if is_dict:
                copy[key] = new
            else:
                copy.append(new)
    return top[0]


def differ(one: Any, other: Any) -> bool:
    """Return whether two values are different JSON."""
    # Not a comparison in Python, where 1, 1.0 and True are equal.
    rest = [(one, other)]
    while rest:
        one, other = rest.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if list(one) != list(other):
                return True
            rest.extend((one[key], other[key]) for key in one)
        elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if len(one) != len(other):
                return True
            rest.extend(zip(one, other, strict=True))
        elif type(one) is not type(other) or one != other:
            return True
    return False


def written(value: Any, *, on_lines: bool = True) -> str:
    """Return a value as JSON text. By default, the first `INDENTED` levels are indented."""
    parts: list[str] = []
    rest: list[Any] = [(value, 0)]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            parts.append(each)
            continue
        value, depth = each
        if isinstance(value, dict | list | tuple) and value:
            rest.extend(reversed(list(_tokens(value, depth, on_lines and depth < INDENTED))))
        else:
            parts.append(json.dumps(value, ensure_ascii=False, default=str))
    return "".join(parts)


def _tokens(value: Any, depth: int, on_lines: bool) -> Iterator[Any]:
    """Yield the parts of a dict or a list: texts, and values as pairs with their depth."""
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    between = ",\n" + "  " * (depth + 1) if on_lines else ", "
    yield opening + between[1:] if on_lines else opening
    for number, item in enumerate(value.items() if isinstance(value, dict) else value):
        if number:
            yield between
        if isinstance(value, dict):
            yield f"{json.dumps(str(item[0]), ensure_ascii=False)}: "
            yield item[1], depth + 1
        else:
            yield item, depth + 1
    yield f"\n{'  ' * depth}{closing}" if on_lines else closing


def read(text: str) -> Any:
    """Parse JSON of any depth. Slower than `json.loads`, which recurses.

    Raises:
        ValueError: the text is not JSON. Not all errors are found; databases check JSON columns.
    """
    holders: list[list[Any]] = [[]]
    for token in _TOKEN.findall(text):
        if token in "[{":
            holders.append([])
        elif token in "]}" and len(holders) > 1:
            held = holders.pop()
            pairs = zip(held[::2], held[1::2], strict=True)
            holders[-1].append(held if token == "]" else dict(pairs))
        else:
            holders[-1].append(json.loads(token))
    [values] = holders
    [value] = values
    return value
