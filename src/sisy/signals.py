"""The signals of Sisy; a public contract.

Receivers are called with ``send_robust``, after the change is committed. If a receiver raises,
Sisy and the other receivers continue. `sisy.runtime.signal_dispatch` says in which thread they
are called. The sender is the model.
"""

from sisy.runtime.signal_dispatch import ContainedSignal as Signal

run_planned = Signal(use_caching=True)
"""A run was planned by the heartbeat, or submitted. Sent with ``run``."""

run_withdrawn = Signal(use_caching=True)
"""A run that was planned ahead was deleted before it was due, because its task was changed.

Sent with ``run``. If the occurrence still applies, it is planned again.
"""

run_started = Signal(use_caching=True)
"""A worker claimed a run. Sent with ``run``.

Its function is called once a slot is free and the run is ready, which can be up to 100 ms later.
"""

run_released = Signal(use_caching=True)
"""A worker released a run that it had claimed, so it is queued again. Sent with ``run``.

The attempt does not count. The run's ``reason`` says why it was released.
"""

run_finished = Signal(use_caching=True)
"""A run that a worker executed has ended: succeeded, failed, timed out or cancelled.

Sent with ``run``; its ``state``, ``reason``, ``result`` and ``error`` say how it ended. A worker
also sends ``exception``: what the function raised if the run failed or timed out, else None.
"""

run_retrying = Signal(use_caching=True)
"""An attempt failed, and the run is queued for a retry. Sent with ``run``.

Its ``ready_at`` says when the retry can start; its ``reason`` and ``error`` say how the attempt
ended. ``exception`` is what the function raised.
"""

run_lost = Signal(use_caching=True)
"""A run was taken from a worker that died, was cut off, or stopped before the run finished.

Sent with ``run``.

Its ``state`` says whether it is queued again, or has ended as lost or cancelled.
"""

run_missed = Signal(use_caching=True)
"""Occurrences were missed and will not run. Sent with ``run``, which represents all of them.

Its ``due_at``, ``due_until``, ``count`` and ``reason`` say which, how many, and why.
"""

run_skipped = Signal(use_caching=True)
"""A run was skipped, because another run of its task was running. Sent with ``run``."""

run_cancelled = Signal(use_caching=True)
"""A run was cancelled while it was queued, or when its worker released it or stopped.

Sent with ``run``. Deleting a task cancels its queued runs, too. If a function was running,
`run_finished` is sent when it has ended.
"""

run_rejected = Signal(use_caching=True)
"""A queued run failed because no worker can ever execute it. Sent with ``run``.

Its engine is no longer configured, or its row cannot be read. Its ``reason`` says which.
"""

task_retired = Signal(use_caching=True)
"""A task has no occurrences left. Sent with ``task``."""

tasks_changed = Signal(use_caching=True)
"""Changes of tasks with a schedule were committed: created, edited, paused, resumed or deleted.

Sent without arguments. An edit sends it if it affects when or how the task runs. It is also sent
when a queue is paused with an end time.
"""

worker_online = Signal(use_caching=True)
"""A worker started. Sent with ``process``."""

worker_offline = Signal(use_caching=True)
"""A worker stopped, or was declared dead. Sent with ``process`` and ``reason``."""

runs_queued = Signal(use_caching=True)
"""Submitted runs were committed. Sent with ``runs``: a list of `Run`."""

cancel_requested = Signal(use_caching=True)
"""A request to stop running runs was committed.

Sent with ``pks``: their keys, and ``tasks``: the keys of their tasks.
"""

drain_requested = Signal(use_caching=True)
"""A worker was asked to drain. Sent with ``pk``: the key of its process."""

alert_opened = Signal(use_caching=True)
"""An alert opened, or reopened because its problem recurred or a person reopened it.

Sent with ``alert``. A message follows ten seconds after it opened, or ten minutes after its
problem recurred, unless the problem is over by then. If a person reopened it, none follows.
"""

alert_closed = Signal(use_caching=True)
"""An alert closed because its problem is over, or because a person closed it.

Sent with ``alert``, whose ``close_reason`` and ``closed_by`` say why and who.
"""
