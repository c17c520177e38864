"""The exceptions of Sisy, one class per cause."""


class SisyError(Exception):
    """The base of every error that Sisy raises itself."""


class ScheduleError(SisyError, ValueError):
    """A schedule or its time zone cannot be used; the message names the field and the reason."""


class CallableError(SisyError, ValueError):
    """A target cannot be called by a worker; the message names the cure."""


class DeclarationError(SisyError, ValueError):
    """A declaration is not valid: its name is missing, too long, or already used."""


class TargetMissing(CallableError):
    """A target that was stored once no longer resolves: code moved, or its object is gone."""


class ObjectMissing(TargetMissing):
    """The object whose method a task calls was deleted."""


class SettingsError(SisyError, ValueError):
    """A ``SISY_*`` setting has a value that cannot be used; the message says what was expected."""


class NoCurrentRun(SisyError, LookupError):
    """`sisy.current_run` was called outside a task function."""


class RunTimedOut(SisyError, TimeoutError):
    """A run took longer than its task's ``timeout``."""


class RunCancelled(SisyError):
    """Somebody asked a run to end; the message is the reason that was given."""


class RunLost(SisyError):
    """The worker that carried a run out died, and it is not run again."""


class TransactionLeftOpen(SisyError):
    """A function returned without ending a transaction that it had begun; it was rolled back."""


class UserCodeExited(SisyError):
    """A receiver of a signal, or other code in a thread of Sisy, tried to end that thread."""


class RemoteError(SisyError):
    """An exception from a child process: the same message, with the traceback as a note.

    The exception itself stays there, since not every one can be sent to another process.

    Attributes:
        error_class: the dotted path of the class that was raised.
    """

    def __init__(self, words: str, error_class: str, traceback: str) -> None:
        super().__init__(words)
        self.error_class = error_class
        if traceback:
            self.add_note(traceback)


class LeaseLost(SisyError):
    """A worker's lease ran out, and a heartbeat has taken its runs from it."""
