"""How tests call a command of manage.py, as people type it."""

import json
import shlex
from io import StringIO

from django.core.management import call_command


def said(line):
    """Return what a command writes."""
    name, *args = shlex.split(line)
    out = StringIO()
    call_command(name, *args, stdout=out)
    return out.getvalue()


def told(line):
    """Return what a command answers to a program."""
    return json.loads(said(f"{line} --json"))


class Terminal(StringIO):
    """A terminal that keeps what a command writes to it."""

    def isatty(self):
        return True


def seen(line, monkeypatch, columns=80):
    """Return what a command writes to a terminal."""
    monkeypatch.setenv("COLUMNS", str(columns))
    name, *args = shlex.split(line)
    out = Terminal()
    call_command(name, *args, stdout=out)
    return out.getvalue()
