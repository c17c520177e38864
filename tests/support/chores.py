"""A module that a test writes, imports and may change."""

import importlib
import sys
from contextlib import contextmanager


@contextmanager
def written_module(folder, monkeypatch, name, source):
    """Write a module, and yield it with its file. It is forgotten in the end."""
    monkeypatch.syspath_prepend(folder)
    # Otherwise, a change within a second would not be noticed when it is imported again.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = folder / f"{name}.py"
    file.write_text(source)
    yield importlib.import_module(name), file
    del sys.modules[name]
