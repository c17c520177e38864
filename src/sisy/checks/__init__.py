"""The system checks for projects that use Sisy.

An error means that Sisy cannot work. A warning means that it works, but slowly or unreliably.

A missing or in-memory channel layer is fine for one process. It is reported only with ``--deploy``
or if several processes are running. Problems of stored tasks are never errors: an error would stop
``migrate``, which may be what fixes them.
"""

from sisy.checks import alerts, configuration, declared, layer, login, stored

__all__ = ["alerts", "configuration", "declared", "layer", "login", "stored"]
