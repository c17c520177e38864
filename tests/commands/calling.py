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
