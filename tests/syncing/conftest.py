"""A project whose code is deployed again and again, as text."""

import importlib
import sys
from io import StringIO
from itertools import count

import pytest
from django.core.management import call_command

from sisy.planning import declarations

HEAD = "from datetime import datetime, timedelta, UTC\nimport sisy\n\n"
NUMBERS = count()


class Project:
    """An app in a folder of its own; each deploy is a process that has imported nothing yet."""

    def __init__(self, folder, settings, name):
        self.name = name
        self.package = folder / name
        self.package.mkdir()
        (self.package / "__init__.py").touch()
        self.write(jobs="def greet(message):\n    pass\n\n\ndef count(message):\n    pass\n")
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, name]

    def write(self, **modules):
        """Write modules by their names; each may use sisy and what datetime has."""
        for name, text in modules.items():
            (self.package / f"{name}.py").write_text(HEAD + text)

    def path(self, name, module="schedules"):
        return f"{self.name}.{module}.{name}"

    def command(self, name="sisy_sync", *args, **options):
        """Return what a command of manage.py says, run by a process that is new."""
        self.unload()
        out = StringIO()
        with declarations.collected_anew():
            call_command(name, *args, stdout=out, **options)
        return out.getvalue()

    def deploy(self, *args, **modules):
        """Write modules and return what ``sisy_sync`` says."""
        self.write(**modules)
        return self.command("sisy_sync", *args)

    def unload(self):
        importlib.invalidate_caches()
        for name in [name for name in sys.modules if name.startswith(self.name + ".")]:
            del sys.modules[name]
        for cached in self.package.rglob("*.pyc"):
            cached.unlink()


@pytest.fixture
def project(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    project = Project(tmp_path, settings, f"declaring{next(NUMBERS)}")
    yield project
    project.unload()
    sys.modules.pop(project.name, None)
