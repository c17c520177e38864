"""The outcome of a run, in values that every database can store."""

import asyncio
import json
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from typing import Any

from sisy.exceptions import (
    CallableError,
    ObjectMissing,
    RemoteError,
    RunCancelled,
    RunTimedOut,
    TargetMissing,
)
from sisy.records.choices import RunState
from sisy.records.nested import MAX_DEPTH, is_too_deep
from sisy.records.validators import unstorable_in
from sisy.runtime.escaping import escaped
from sisy.runtime.journal import Report
from sisy.runtime.user_errors import Frame, name_of, path_of, stack_of, traceback_of, words_of

ERROR_LIMIT = 32_000
RESULT_LIMIT = 64_000
CLASS_LIMIT = 255

Span = tuple[datetime, datetime]
"""The start and the end of a run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        reason: one line; empty for a success whose return value could be stored.
        result: the return value as JSON data, if it could be stored.
        error: the traceback, at most `ERROR_LIMIT` characters.
        error_class: the dotted path of the exception's class, at most `CLASS_LIMIT` characters;
            empty if the function raised none.
        target_is_broken: whether the task's callable is gone or cannot be called any more.
        others_may_call_it: whether this worker could not find the function, but another one may.
        exception: the exception, if it was raised in this process.
        report: what the attempt has printed, and its progress; None if it has done neither.
        stack: the calls that led to the exception, if it was raised in a child process.
    """

    started_at: datetime
    finished_at: datetime
    _: KW_ONLY
    state: RunState
    reason: str = ""
    result: Any = None
    error: str = ""
    error_class: str = ""
    target_is_broken: bool = False
    others_may_call_it: bool = False
    exception: BaseException | None = field(default=None, repr=False, compare=False)
    report: Report | None = field(default=None, repr=False, compare=False)
    stack: tuple[Frame, ...] = field(default=(), repr=False, compare=False)

    @property
    def raised(self) -> BaseException | None:
        """The exception of a function that failed or timed out; otherwise None.

        A `RemoteError` if the function ran in a child process.
        """
        if self.state not in (RunState.FAILED, RunState.TIMED_OUT):
            return None
        # Compare with None: an exception of the user's may be false.
        if self.exception is not None:
            return self.exception
        return RemoteError(self.reason, self.error_class, self.error, self.stack)

    def without_exception(self) -> "Outcome":
        """Return a copy that can be sent to another process."""
        if self.exception is None:
            return self
        return replace(self, exception=None, stack=stack_of(self.exception))


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCalled:
    """The answer of a pool that could not call a function, through no fault of the run.

    Attributes:
        reason: a sentence that says what failed.
    """

    reason: str


def of_value(span: Span, value: object) -> Outcome:
    """Return the outcome of a successful run. A value that JSON cannot represent is not stored."""
    if value is None:  # as most functions return
        return Outcome(*span, state=RunState.SUCCEEDED)
    try:
        if is_too_deep(value):
            return _without_value(span, f"it is nested more than {MAX_DEPTH} levels deep")
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except BaseException as error:  # noqa: BLE001 - the value may be of any class
        return _without_value(span, f"JSON cannot represent it: {words_of(error)}")
    if len(text) > RESULT_LIMIT:
        return _without_value(
            span, f"it has {len(text)} characters as JSON, more than the limit of {RESULT_LIMIT}"
        )
    if flaw := unstorable_in(text):
        return _without_value(span, f"it contains {flaw}, which databases reject")
    return Outcome(*span, state=RunState.SUCCEEDED, result=json.loads(text))


def of_error(span: Span, error: BaseException, cancel_reason: str | None = None) -> Outcome:
    """Return the outcome of a run that ended with ``error``.

    Args:
        cancel_reason: why the run was asked to stop; None if it was not.
    """
    # type() and issubclass(), not isinstance(): a user's exception may raise in __class__.
    raised = type(error)
    if cancel_reason is not None and issubclass(raised, RunCancelled | asyncio.CancelledError):
        return of_cancelling(span, cancel_reason, traceback_of(error))
    timed_out = issubclass(raised, RunTimedOut)
    return Outcome(
        *span,
        state=RunState.TIMED_OUT if timed_out else RunState.FAILED,
        reason=escaped(f"{name_of(error)}: {words_of(error).strip()}")[:500],
        error=_capped(storable(traceback_of(error))),
        error_class=storable(path_of(raised))[:CLASS_LIMIT],
        exception=error,
    )


def of_unresolved(span: Span, error: Exception) -> Outcome:
    """Return the outcome of a run whose function could not be found."""
    # Another worker may have code that this one lacks, or reach a database that this one cannot
    # reach. An object that was deleted is gone for all workers.
    may_be_elsewhere = isinstance(error, TargetMissing) and not isinstance(error, ObjectMissing)
    return replace(
        of_error(span, error),
        target_is_broken=isinstance(error, CallableError),
        others_may_call_it=may_be_elsewhere or not isinstance(error, CallableError),
    )


def of_cancelling(span: Span, reason: str, error: str = "") -> Outcome:
    """Return the outcome of a run that stopped because it was asked to."""
    reason = escaped(reason)[:500] or "Cancelled."
    return Outcome(*span, state=RunState.CANCELLED, reason=reason, error=_capped(storable(error)))


def of_loss(span: Span, reason: str) -> Outcome:
    """Return the outcome of a run whose process died."""
    return Outcome(*span, state=RunState.LOST, reason=escaped(reason)[:500])


def _without_value(span: Span, why: str) -> Outcome:
    reason = escaped(f"The return value was not stored: {why}")
    return Outcome(*span, state=RunState.SUCCEEDED, reason=f"{reason[:499]}.")


def _capped(text: str) -> str:
    """Return the last `ERROR_LIMIT` characters of a text."""
    # A traceback names the error in its last line.
    return text if len(text) <= ERROR_LIMIT else "[…]\n" + text[-ERROR_LIMIT:]


def storable(text: str) -> str:
    """Escape what databases reject in a text: NUL and lone surrogates."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
