"""The modules of a package, read but not imported."""

import ast
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

LAYOUT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


@dataclass(frozen=True)
class Module:
    """One module.

    Attributes:
        path: relative to the package's folder.
        name: dotted, with the package's name.
    """

    path: str
    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def part(self) -> str:
        """The folder or the module at the top of the package."""
        return self.path.partition("/")[0].removesuffix(".py")

    @cached_property
    def length(self) -> int:
        """The number of all lines."""
        return len(self.text.splitlines())

    @cached_property
    def lines_of_code(self) -> int:
        """The number of lines that are not blank, nor only a comment or a docstring."""
        code: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in LAYOUT:
                code.update(range(token.start[0], token.end[0] + 1))
        return len(code.difference(*self._docstrings()))

    def _docstrings(self) -> Iterator[range]:
        """Yield the lines of the strings that are statements, those below attributes included."""
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield range(node.lineno, (node.end_lineno or node.lineno) + 1)


def modules(root: Path) -> list[Module]:
    """Return the modules of the package in ``root``, without its migrations."""
    return [
        Module(path=path, name=_dotted(root.name, path), text=(root / path).read_text())
        for path in sorted(file.relative_to(root).as_posix() for file in root.rglob("*.py"))
        if not path.startswith("migrations/")
    ]


def _dotted(package: str, path: str) -> str:
    parts = [package, *path.removesuffix(".py").split("/")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
