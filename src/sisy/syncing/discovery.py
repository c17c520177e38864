"""Import the modules in which apps declare tasks: ``schedules.py`` and ``tasks.py``."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from sisy.planning.declarations import Declaration, declarations, forget_failed
from sisy.runtime.user_errors import name_of, words_of

MODULES = ("schedules", "tasks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """The declarations in code, and the modules that could not be imported.

    Attributes:
        broken: why a module could not be imported, by its dotted path.
    """

    declarations: Sequence[Declaration] = ()
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Return whether all modules could be imported: a broken one may declare any task."""
        return not self.broken


def discover() -> Discovered:
    """Import the modules in which apps declare tasks, even if some of them are broken.

    A module whose import fails declares nothing, even if it fails after its first declarations.
    """
    broken: dict[str, str] = {}
    for config in apps.get_app_configs():
        for name in MODULES:
            if config.name != "sisy" and module_has_submodule(config.module, name):
                module = f"{config.name}.{name}"
                try:
                    importlib.import_module(module)
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # noqa: BLE001 - sys.exit() included
                    broken[module] = f"{name_of(error)}: {words_of(error)}"
    forget_failed()
    return Discovered(declarations=declarations(), broken=broken)
