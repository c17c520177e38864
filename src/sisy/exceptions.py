"""The exceptions that Sisy raises."""

import difflib
from collections.abc import Iterable


class SisyError(Exception):
    """The base class of Sisy's exceptions."""


class ScheduleError(SisyError, ValueError):
    """A schedule or its time zone is not valid. The message names the field and the reason."""


class CallableError(SisyError, ValueError):
    """A worker cannot call a function. The message says how to fix that."""


class DeclarationError(SisyError, ValueError):
    """A declaration is not valid: its name is missing, too long, or already used."""


class TargetMissing(CallableError):
    """A stored function no longer exists: its code has moved, or its object was deleted."""


class ObjectMissing(TargetMissing):
    """The object whose method a task calls was deleted."""


class SettingsError(SisyError, ValueError):
    """A ``SISY_*`` setting has an invalid value. The message says what is expected."""


class NoCurrentRun(SisyError, LookupError):
    """`sisy.current_run` was called outside a task function."""


class RunTimedOut(SisyError, TimeoutError):
    """A run took longer than its task's ``timeout``."""


class RunCancelled(SisyError):
    """A run was asked to stop. The message is the reason that was given."""


class RunLost(SisyError):
    """The worker of a run died, and the run is not executed again."""


class TransactionLeftOpen(SisyError):
    """A function returned without ending its transaction, which Sisy has rolled back."""


class UserCodeExited(SisyError):
    """A receiver of a signal, or other user code, tried to end one of Sisy's threads."""


class RemoteError(SisyError):
    """An exception from a child process: the same message, with the traceback as a note.

    Attributes:
        error_class: the dotted path of the exception's class.
        stack: the file, line and function of each call, the outermost first.
    """

    # The exception itself stays in the child, because not every exception can be pickled.
    def __init__(
        self,
        words: str,
        error_class: str,
        traceback: str,
        stack: tuple[tuple[str, int, str], ...] = (),
    ) -> None:
        super().__init__(words)
        self.error_class = error_class
        self.stack = stack
        if traceback:
            self.add_note(traceback)


class LeaseLost(SisyError):
    """A worker's lease has expired, so a heartbeat may have taken its runs."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" with the known word that is nearest to ``word``.

    The space at the beginning separates it from a sentence before it. Empty if no word is similar.
    """
    near = nearest(word, known)
    return "" if near is None else f" Did you mean {near!r}?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is nearest to ``word``; None if no word is similar."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1)), None)
