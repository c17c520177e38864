"""What happened, for whoever wants to listen; a public contract.

Receivers are called with ``send_robust``: one that raises stops neither Sisy nor the others.
"""

from django.dispatch import Signal

runs_waiting = Signal()
"""Runs that somebody asked for were committed. Sent with ``runs``: a list of `Run`."""
