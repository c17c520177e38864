"""Functions that take away, or write to, what a child process needs to speak to its worker."""

import os
import signal
import socket
import stat
from pathlib import Path


def closes_all_files(message):
    """Do what daemons do when they start."""
    os.closerange(3, 300)


def closes_all_files_and_opens_others(message):
    """Let the numbers of the files that it has closed stand for others."""
    os.closerange(3, 300)
    path = Path(message["task"].userdata["file"])
    for _ in range(100):
        os.open(path, os.O_WRONLY | os.O_CREAT)


def closes_twice(message):
    """Close a number that others may have got meanwhile, as many programs do by mistake."""
    for number in _sockets():
        os.close(number)
    for _ in range(100):
        socket.socketpair()[0].detach()


def writes_to_all_sockets(message):
    for number in _sockets():
        os.write(number, b"a line of some log\n" * 10)
    return "no matter"


def writes_the_beginning_of_a_word(message):
    """Announce a word that never comes."""
    for number in _sockets():
        os.write(number, b"SISY\0\0\xff\xff\0\0\0\0some")
    signal.pause()


def stops_itself(message):
    os.kill(os.getpid(), signal.SIGSTOP)
    signal.pause()


def returns_twice(message):
    """Forget that whatever was forked must end by itself."""
    return "child" if os.fork() == 0 else "parent"


def _sockets():
    numbers = map(int, os.listdir("/proc/self/fd"))
    return [number for number in numbers if number > 2 and _is_socket(number)]


def _is_socket(number):
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False
