"""Log what happens to runs, tasks and workers. The functions are receivers of Sisy's signals.

The loggers are ``sisy.runs``, ``sisy.tasks`` and ``sisy.workers``. A run that failed, timed out or
was lost is an error with the exception of its function, for error trackers and mail to admins.
Things that may need attention are warnings. Successful runs are not logged; the ledger has them.
"""

from typing import TYPE_CHECKING, Any

from django.utils.translation import ngettext

from sisy import signals
from sisy.exceptions import RunLost
from sisy.records.choices import STOPPED, RunState, with_reason
from sisy.runtime import signal_dispatch
from sisy.runtime.log import log_named

if TYPE_CHECKING:
    from sisy.records.run import RunRecord
    from sisy.records.task import TaskRecord

RUNS = "sisy.runs"

runs = log_named(RUNS)
tasks = log_named("sisy.tasks")
workers = log_named("sisy.workers")

ENDS: dict[str, str] = {
    RunState.FAILED: "%s failed: %s",
    RunState.TIMED_OUT: "%s timed out: %s",
    RunState.LOST: "%s was lost: %s",
}
"""One template per state, because error trackers group records by template."""


# A signal, so that an error of a log handler stops neither the other runs nor the sender.
_ended_badly = signal_dispatch.ContainedSignal()


def on_finished_batch(news: list[dict[str, Any]]) -> None:
    """Log the runs that did not succeed. Receives the signal in batches."""
    # Nearly all have succeeded. To call a receiver for each would take longer than to store it.
    for each in news:
        if each["run"].state != RunState.SUCCEEDED:
            _ended_badly.send_robust(type(each["run"]), **each)


def on_finished(
    *, run: "RunRecord", exception: BaseException | None = None, **kwargs: Any
) -> None:
    if run.state == RunState.CANCELLED:
        on_cancelled(run=run)
    elif run.state in ENDS:
        _log_end(run, exception)


def on_retrying(
    *, run: "RunRecord", exception: BaseException | None = None, **kwargs: Any
) -> None:
    runs.warning("%s will be retried: %s", run, run.reason, exc_info=exception, extra=_about(run))


def on_lost(*, run: "RunRecord", **kwargs: Any) -> None:
    if run.state == RunState.LOST:
        _log_end(run, RunLost(run.reason))
    else:
        runs.warning("%s lost its worker: %s", run, run.reason, extra=_about(run))


def _log_end(run: "RunRecord", exception: BaseException | None) -> None:
    """Log that a run failed, timed out or was lost, with the exception of its function."""
    runs.error(ENDS[run.state], run, run.reason, exc_info=exception, extra=_about(run))


def _about(run: "RunRecord") -> dict[str, Any]:
    """Return the extra attributes of a log record."""
    return {
        "run": run.pk,
        "label": run.label,
        "task": run.task_id,
        "target": run.target_path,
        "queue": run.queue,
        "origin": str(run.origin),
        "attempt": run.attempt,
        "state": str(run.state),
        "due_at": run.due_at,
    }


def on_missed(*, run: "RunRecord", **kwargs: Any) -> None:
    words = ngettext("%d occurrence", "%d occurrences", run.count) % run.count
    runs.warning("%s (#%s) missed %s: %s", run.label, run.pk, words, run.reason, extra=_about(run))


def on_skipped(*, run: "RunRecord", **kwargs: Any) -> None:
    runs.info("%s was skipped: %s", run, run.reason, extra=_about(run))


def on_cancelled(*, run: "RunRecord", **kwargs: Any) -> None:
    runs.info("%s %s", run, with_reason("was cancelled", run.reason), extra=_about(run))


def on_rejected(*, run: "RunRecord", **kwargs: Any) -> None:
    _log_end(run, None)


def on_released(*, run: "RunRecord", **kwargs: Any) -> None:
    runs.info("%s %s", run, with_reason("was released", run.reason), extra=_about(run))


def on_retired(*, task: "TaskRecord", **kwargs: Any) -> None:
    tasks.info("%s is retired: no occurrences are left", task)


def on_online(*, process: Any, **kwargs: Any) -> None:
    queues = ", ".join(process.queues)
    slots = ngettext("%d slot", "%d slots", process.slots) % process.slots
    workers.info("%s started: %s for %s", process, slots, queues)


def on_offline(*, process: Any, reason: str, **kwargs: Any) -> None:
    if reason == STOPPED:
        workers.info("%s stopped", process)
    else:
        workers.info("%s %s", process, reason.removeprefix("It "))


def connect() -> None:
    """Connect the receivers."""
    signals.run_finished.connect_of_batches(on_finished_batch)
    for signal, receiver in (
        (_ended_badly, on_finished),
        (signals.run_retrying, on_retrying),
        (signals.run_lost, on_lost),
        (signals.run_missed, on_missed),
        (signals.run_skipped, on_skipped),
        (signals.run_cancelled, on_cancelled),
        (signals.run_rejected, on_rejected),
        (signals.run_released, on_released),
        (signals.task_retired, on_retired),
        (signals.worker_online, on_online),
        (signals.worker_offline, on_offline),
    ):
        signal_dispatch.call_directly(receiver)
        uid = f"sisy.messaging.run_log.{receiver.__name__}"
        signal.connect(receiver, dispatch_uid=uid)
