"""What happened, for whoever wants to listen; a public contract.

Receivers are called with ``send_robust``: one that raises stops neither Sisy nor the others.
"""

from django.dispatch import Signal

runs_waiting = Signal()
"""Runs that somebody asked for were committed. Sent with ``runs``: a list of `Run`."""

cancel_asked = Signal()
"""Runs that go on were asked to end, and that was committed. Sent with ``pks``: their keys."""

drain_asked = Signal()
"""A worker was asked to end once its runs have. Sent with ``pk``: the key of its process."""
