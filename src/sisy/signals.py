"""What happened, for whoever wants to listen; a public contract.

Receivers are called with ``send_robust``: one that raises stops neither Sisy nor the others.
"""

from django.dispatch import Signal

runs_waiting = Signal()
"""Runs were committed and wait for a worker. Sent with ``runs``: a list of `Run`."""
