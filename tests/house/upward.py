"""Imports of higher layers that only a type checker sees, which ``make imports`` leaves out."""

import tomllib
from pathlib import Path

from tests.house.cycles import imports_for_types
from tests.house.source import Module

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def layers() -> dict[str, int]:
    """Return the height of each package and module at the top, from the contract of the layers."""
    contracts = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    (lines,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return {
        part: height for height, line in enumerate(reversed(lines)) for part in line.split(" | ")
    }


def upward_for_types(source: list[Module], height_of: dict[str, int]) -> list[str]:
    """Return each import of a higher layer for types, as "importer imports imported"."""
    part_of = {module.name: module.part for module in source}
    return [
        f"{importer} imports {imported}"
        for importer, found in imports_for_types(source).items()
        for imported in sorted(found)
        if height_of.get(part_of[imported], -1) > height_of.get(part_of[importer], len(height_of))
    ]
