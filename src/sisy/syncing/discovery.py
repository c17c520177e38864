"""Finds what code declares: imports ``schedules.py`` and ``tasks.py`` of each app."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from sisy.declarations import Declaration, declarations

MODULES = ("schedules", "tasks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """What code declares, and what could not be looked at.

    Attributes:
        broken: why a module could not be imported, by its dotted path.
    """

    declarations: Sequence[Declaration] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    def may_declare(self, path: str) -> bool:
        """Whether a module that could not be imported may declare what lies at ``path``."""
        packages = [module.rpartition(".")[0] + "." for module in self.broken]
        return any(path.startswith(package) for package in packages)


def discover() -> Discovered:
    """Import the modules in which apps declare tasks; one that is broken stops no other."""
    broken: dict[str, str] = {}
    for config in apps.get_app_configs():
        for name in MODULES:
            if config.name != "sisy" and module_has_submodule(config.module, name):
                module = f"{config.name}.{name}"
                try:
                    importlib.import_module(module)
                except Exception as error:  # noqa: BLE001 - the border around the project's code
                    broken[module] = f"{type(error).__name__}: {error}"
    return Discovered(declarations=declarations(), broken=broken)
