"""Set up Django in the fork server, from which a worker's children are forked.

A child then starts within milliseconds, whatever the project's size, and shares the memory of
imported modules. Database connections are closed, so that children do not share them.
"""

import atexit
import os
import sys
import time

import django
from django.db import connections

TIME_TO_KILL = 0.25  # seconds

error: BaseException | None = None

# Python adds a script's folder to sys.path only in the process of the script.
if script := getattr(sys.modules.get("__mp_main__"), "__file__", None):
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
try:
    django.setup()
    connections.close_all()
except BaseException as raised:  # noqa: BLE001 - the children report it
    error = raised
# When this process ends, the kernel kills the children. Give them time to notice the end of their
# worker first, so that they can kill what their functions have started.
atexit.register(time.sleep, TIME_TO_KILL)
