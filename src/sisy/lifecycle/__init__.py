"""The transitions of a run: the only code that writes its state.

A transition updates the rows, sets the same values on the objects in memory, and sends its signal
when the transaction is committed; see `sisy.lifecycle.transition`. Each module has the transitions
of one verb. Those of a task are in `sisy.lifecycle.task_state`.

::

    (new) ── submit, retry by hand ────────────► queued        run_planned
    (new) ── miss ─────────────────────────────► missed        run_missed
    queued ── withdraw ────────────────────────► (deleted)     run_withdrawn
    queued ── start ───────────────────────────► running       run_started
    queued ── skip ────────────────────────────► skipped       run_skipped
    queued ── cancel ──────────────────────────► cancelled     run_cancelled
    queued ── reject ──────────────────────────► failed        run_rejected
    running ── finish ─────────────────────────► succeeded, failed, timed_out or cancelled
                                                               run_finished
    running ── retry ──────────────────────────► queued        run_retrying
    running ── release ────────────────────────► queued        run_released
                                    or, if a cancellation was requested or its task was
                                    deleted, ──► cancelled     run_cancelled
    running ── cancel, if its worker is gone ──► cancelled     run_cancelled
    running ── lose ───────────────────────────► queued, lost or cancelled
                                                               run_lost

The callers pass records and query sets.
"""
