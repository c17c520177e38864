"""The system checks for projects that use Sisy.

An error is what keeps Sisy from its work. A warning is what makes it slow, deaf or doubtful. What
is fine for one process is not complained about: neither a missing layer nor one in memory, unless
``--deploy`` asks, or several processes are seen at work. What is wrong with stored tasks is never
an error, since it would keep ``migrate`` from mending it.
"""

from sisy.checks import configuration, declared, layer, login, stored

__all__ = ["configuration", "declared", "layer", "login", "stored"]
