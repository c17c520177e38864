"""What happened, for whoever wants to listen; a public contract.

Receivers are called with ``send_robust``, once what happened is committed: one that raises stops
neither Sisy nor the others. `sisy.telling` says in which thread. The sender is the model.
"""

from sisy.telling import ContainedSignal as Signal

run_planned = Signal(use_caching=True)
"""A run was put into the ledger, by its schedule or since somebody asked. Sent with ``run``."""

run_started = Signal(use_caching=True)
"""A worker won a run, which begins at once or as soon as a slot is free. Sent with ``run``."""

run_released = Signal(use_caching=True)
"""A worker handed back a run that it had won; it is queued again. Sent with ``run``.

No attempt was counted; its ``reason`` says why.
"""

run_finished = Signal(use_caching=True)
"""A run that a worker carried out is over: succeeded, failed, timed out or cancelled.

Sent with ``run``; its ``state``, ``reason``, ``result`` and ``error`` say how it ended. A worker
also sends ``exception``: what the function raised if the run failed or timed out, else None.
"""

run_retrying = Signal(use_caching=True)
"""An attempt failed, and the run waits for the next one. Sent with ``run``.

Its ``ready_at`` says when that may begin, its ``reason`` and ``error`` how the last one ended.
``exception`` is what the function raised.
"""

run_lost = Signal(use_caching=True)
"""A run was taken from a worker that died or was cut off. Sent with ``run``.

Its ``state`` says whether it waits to run again, or is over: lost or cancelled.
"""

run_missed = Signal(use_caching=True)
"""Occurrences were missed, and are not run. Sent with ``run``, one row for all of a gap.

``due_at``, ``due_until``, ``count`` and ``reason`` say which, how many, and why.
"""

run_skipped = Signal(use_caching=True)
"""A run was not begun, since another one of its task was in the way. Sent with ``run``."""

run_cancelled = Signal(use_caching=True)
"""A queued run was cancelled, also because its task was deleted. Sent with ``run``.

A running run sends `run_finished` when its function has ended.
"""

run_rejected = Signal(use_caching=True)
"""A queued run failed because no worker can ever carry it out. Sent with ``run``.

Its engine is no longer configured, or its row cannot be read; its ``reason`` says which.
"""

task_retired = Signal(use_caching=True)
"""A task has no occurrence left. Sent with ``task``."""

worker_online = Signal(use_caching=True)
"""A worker signed on. Sent with ``process``."""

worker_offline = Signal(use_caching=True)
"""A worker signed off, or is gone. Sent with ``process`` and ``reason``."""

runs_waiting = Signal(use_caching=True)
"""Runs that somebody asked for were committed. Sent with ``runs``: a list of `Run`."""

cancel_asked = Signal(use_caching=True)
"""Running runs were asked to end, and that was committed.

Sent with ``pks``: their keys, and ``tasks``: the keys of their tasks.
"""

drain_asked = Signal(use_caching=True)
"""A worker was asked to end once its runs have. Sent with ``pk``: the key of its process."""
