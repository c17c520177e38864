"""``manage.py`` as on Windows: without what its Python, its event loops and its kernel lack."""

import asyncio
import concurrent.futures
import importlib
import logging.handlers
import multiprocessing.forkserver
import multiprocessing.reduction
import os
import pkgutil
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import tests.settings

MODULES = ("fcntl", "grp", "posix_spawn", "pty", "pwd", "resource", "syslog", "termios", "tty")
OF_OS = (
    *("chown", "ctermid", "fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg"),
    *("getpgid", "getpgrp", "getpriority", "getsid", "getuid", "killpg", "mkfifo", "nice"),
    *("openpty", "posix_spawn", "register_at_fork", "setpgid", "setsid", "setuid", "sysconf"),
    *("uname", "wait", "wait3", "wait4", "waitid"),
)
OF_SIGNAL = (
    *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
    *("SIGTSTP", "SIGUSR1", "SIGUSR2", "SIG_BLOCK", "SIG_SETMASK", "SIG_UNBLOCK", "alarm"),
    *("pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt", "sigwait"),
)
OF_TIME = ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC", "CLOCK_REALTIME", "clock_gettime", "tzset")
OF_LOOPS = ("add_reader", "add_signal_handler", "add_writer", "remove_reader", "remove_writer")
LOADED = (
    concurrent.futures,
    logging.handlers,
    multiprocessing,
    random,
    subprocess,
    tempfile,
    tests.settings,
)
"""Modules of Python's own that find out what the system has when they are imported."""


def become_windows() -> None:
    """Take away what is missing there, once Python's own modules have found it."""
    for owner, names in ((os, OF_OS), (signal, OF_SIGNAL), (time, OF_TIME)):
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)
    for name in MODULES:
        sys.modules[name] = None
    loop = asyncio.selector_events.BaseSelectorEventLoop
    for name in OF_LOOPS:
        for owner in (loop, asyncio.SelectorEventLoop):
            setattr(owner, name, getattr(asyncio.AbstractEventLoop, name))
    get_context = multiprocessing.get_context

    def only_spawn(method=None):
        if method not in (None, "spawn"):
            raise ValueError(f"cannot find context for {method!r}")
        return get_context("spawn")

    multiprocessing.get_context = only_spawn


def import_all() -> None:
    """Import every module of Sisy."""
    import django

    import sisy

    django.setup()
    for module in pkgutil.walk_packages(sisy.__path__, "sisy."):
        if not module.name.startswith("sisy.contrib"):  # which needs another package
            importlib.import_module(module.name)


if __name__ == "__main__":
    assert threading.active_count() == 1
    if sys.argv[1:] == ["import_all"]:
        importlib.import_module("textual.app")  # which asks sys.platform what the system has
    become_windows()
    sys.path.insert(0, str(Path(__file__).parent.parent.parent))
    from django.core.management import execute_from_command_line

    if sys.argv[1:] == ["import_all"]:
        import_all()
    else:
        execute_from_command_line(sys.argv)
