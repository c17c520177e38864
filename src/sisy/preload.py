"""Imported once by the process from which a worker's children are forked: sets Django up in it.

So a child begins within milliseconds, whatever the project's size, and shares the memory of what
was imported. It has no connection to a database that it could share.
"""

import atexit
import os
import sys
import time

import django
from django.db import connections

TIME_TO_KILL = 0.25  # seconds

error: BaseException | None = None

# Python puts a script's folder on the path of the script's own process only.
if script := getattr(sys.modules.get("__mp_main__"), "__file__", None):
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
try:
    django.setup()
    connections.close_all()
except BaseException as raised:  # noqa: BLE001 - the children will tell
    error = raised
# When this process ends, the kernel kills the children; before that, they see the end of their
# worker themselves, and kill what their functions have started.
atexit.register(time.sleep, TIME_TO_KILL)
