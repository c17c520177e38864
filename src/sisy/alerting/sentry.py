"""Report runs that end badly to Sentry, and add the run to whatever its function reports.

Nothing happens unless the project has imported ``sentry_sdk`` and initialised it with a DSN. Each
error becomes one event, which Sentry groups by function and kind of error. The log line about it
is not reported as well.
"""

import linecache
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import finalize

from sisy import signals
from sisy.alerting import sentry_monitors
from sisy.exceptions import RemoteError, RunLost
from sisy.execution.call import observe_calls
from sisy.messaging.run_log import RUNS
from sisy.records.choices import RunState
from sisy.runtime.log import Outage
from sisy.runtime.process_exit import before_exit
from sisy.runtime.user_errors import exc_info_of, is_ctrl_c, path_of

if TYPE_CHECKING:
    from sentry_sdk import Scope
    from sentry_sdk.types import Event, Hint

    from sisy.records.run import RunRecord

MECHANISM = {"type": "sisy", "handled": False}
BAD_ENDS = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)
MAX_TAG_LENGTH = 200
CONTEXT_LINES = 5
EXIT_TIMEOUT = 2.0  # seconds

News = list[dict[str, Any]]
Attempt = tuple[int, int, int | None]

# What a function has set and left: its tags and breadcrumbs belong to the errors of its attempt.
# Not by the run: its attempts are equal, and a worker that was frozen may execute two at a time.
_scopes: "dict[Attempt, Scope]" = {}
_outage = Outage("Reporting to Sentry")


def connect_if_installed() -> None:
    """Connect the receivers if ``sentry_sdk`` is installed. Call it before those that log."""
    if find_spec("sentry_sdk") is None:
        return
    observe_calls(on_call)
    before_exit(on_exit)
    signals.run_finished.connect_of_batches(on_ended)
    signals.run_lost.connect_of_batches(on_ended)
    signals.run_rejected.connect_of_batches(on_ended)


def is_active() -> bool:
    """Return whether the project has initialised Sentry's SDK with a DSN."""
    # The SDK is not imported for this: a project that uses it has imported it.
    if "sentry_sdk" not in sys.modules:
        return False
    import sentry_sdk

    client = sentry_sdk.get_client()
    return client.is_active() and bool(client.options.get("dsn"))


def on_call(run: "RunRecord") -> None:
    """Give the function of a run a scope of its own, and begin its check-in."""
    _contained(_begin, run)


def on_ended(news: News) -> None:
    """Report runs that ended badly, and end the check-ins of all."""
    _contained(_report, news)


def on_exit() -> None:
    """Send what a child process has yet to send to Sentry."""
    _contained(_flush, EXIT_TIMEOUT)


def _contained(step: Callable[[Any], None], what: Any) -> None:
    """Call ``step`` if Sentry is active. It never raises anything but Ctrl-C."""
    try:
        if is_active():
            step(what)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        _outage.failed(error, "runs are not affected")


def _begin(run: "RunRecord") -> None:
    from sentry_sdk import Scope

    attempt = _attempt(run)
    scope = _scopes.get(attempt)
    if scope is None:
        scope = Scope.get_isolation_scope().fork()
        scope.clear_breadcrumbs()
        _describe(scope, run)
        _scopes[attempt] = scope
        finalize(run, _scopes.pop, attempt, None).atexit = False
        sentry_monitors.begin(run)
    # The context ends with the call, so nothing has to be restored.
    Scope.set_isolation_scope(scope)
    Scope.set_current_scope(Scope.get_current_scope().fork())


def _attempt(run: "RunRecord") -> Attempt:
    return run.pk, run.attempt, run.process_id


def _flush(seconds: float) -> None:
    import sentry_sdk

    sentry_sdk.flush(timeout=seconds)


def _report(news: News) -> None:
    from sentry_sdk.integrations.logging import ignore_logger

    # The receivers that log are called after this one.
    ignore_logger(RUNS)
    for each in news:
        # Each by itself: the SDK calls methods of an exception, which may raise anything.
        _contained(_report_error, each)
        _contained(sentry_monitors.end, each["run"])


def _report_error(each: dict[str, Any]) -> None:
    run = each["run"]
    if run.state in BAD_ENDS:
        _capture(run, each.get("exception"))
        _outage.recovered()


def _capture(run: "RunRecord", exception: BaseException | None) -> None:
    import sentry_sdk
    from sentry_sdk.scope import use_isolation_scope

    if exception is None and run.state == RunState.LOST:
        exception = RunLost(run.reason)
    scope = _scopes.get(_attempt(run))
    if scope is None:
        scope = sentry_sdk.Scope.get_isolation_scope().fork()
        scope.clear_breadcrumbs()
        _describe(scope, run)
    try:
        event, hint = _event_of(run, exception)
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        event, hint = _event_of(run, None)
    event["level"], event["logger"] = "error", RUNS
    event["transaction"] = run.target_path
    event["fingerprint"] = ["sisy", run.target_path, _kind_of(run, exception)]
    scope = scope.fork()
    scope.set_context("run", _facts(run))
    if slug := sentry_monitors.monitor_slug(run):
        scope.set_context("monitor", {"slug": slug})
    with use_isolation_scope(scope):
        sentry_sdk.capture_event(event, hint)


def _kind_of(run: "RunRecord", exception: BaseException | None) -> str:
    """Return what went wrong, without texts that differ from run to run."""
    if exception is None:
        return str(run.state)
    # Not isinstance(): a user's exception may raise in __class__.
    if issubclass(type(exception), RemoteError):
        return run.error_class
    return path_of(type(exception))


def _event_of(run: "RunRecord", exception: BaseException | None) -> "tuple[Event, Hint]":
    import sentry_sdk
    from sentry_sdk.utils import event_from_exception

    if exception is None:
        return {"message": f"{run.get_state_display()}: {run.reason}"}, {}
    if issubclass(type(exception), RemoteError):
        return _event_of_child(exception), {}  # type: ignore[arg-type]
    options = sentry_sdk.get_client().options
    return event_from_exception(exc_info_of(exception), options, MECHANISM)


def _event_of_child(error: RemoteError) -> "Event":
    """Return the event of an exception of a child process, which has the child's stack."""
    module, _, name = error.error_class.rpartition(".")
    words = str(error).removeprefix(f"{name}: ")
    value: dict[str, Any] = {
        "type": name or type(error).__name__,
        "module": module,
        "value": words,
        "mechanism": MECHANISM,
    }
    if error.stack:
        value["stacktrace"] = {"frames": [_frame(*frame) for frame in error.stack]}
    notes = "\n".join(getattr(error, "__notes__", ()))
    return {"exception": {"values": [value]}, "extra": {"traceback": notes}}


def _frame(path: str, line: int, function: str) -> dict[str, Any]:
    first = max(1, line - CONTEXT_LINES)
    lines = {at: linecache.getline(path, at) for at in range(first, line + CONTEXT_LINES + 1)}
    texts = {at: text.rstrip("\r\n") for at, text in lines.items() if text}
    return {
        "abs_path": path,
        "filename": path.rpartition("/")[2],
        "function": function,
        "lineno": line,
        "pre_context": [text for at, text in texts.items() if at < line],
        "context_line": texts.get(line, ""),
        "post_context": [text for at, text in texts.items() if at > line],
    }


def _describe(scope: "Scope", run: "RunRecord") -> None:
    """Set the tags by which people filter, and the name of the function."""
    tags = {
        "sisy.run": run.pk,
        "sisy.task": run.task_id,
        "sisy.label": run.label,
        "sisy.queue": run.queue,
        "sisy.origin": run.origin,
    }
    for name, value in tags.items():
        if value is not None:
            scope.set_tag(name, str(value)[:MAX_TAG_LENGTH])
    scope.set_context("run", _facts(run))
    scope.set_transaction_name(run.target_path, source="task")


def _facts(run: "RunRecord") -> dict[str, Any]:
    """Return what an event says about its run, without user data."""
    occurrence = run.occurrence_at or run.due_at
    facts = {
        "run": run.pk,
        "task": run.task_id,
        "label": run.label,
        "callable": run.target_path,
        "object": run.target_pk,
        "occurrence": occurrence and occurrence.isoformat(),
        "attempt": run.attempt,
        "origin": str(run.origin),
        "queue": run.queue,
        "state": str(run.state),
        "reason": run.reason,
    }
    return {name: value for name, value in facts.items() if value not in (None, "")}
