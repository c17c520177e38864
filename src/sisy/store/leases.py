"""The statement by which a process renews its lease."""

from datetime import datetime

from sisy.store.statements import Statement

# One process, one row: a single update keeps all runs of the process alive.
RENEW = Statement("UPDATE sisy_process SET lease_until = %(until)s WHERE id = %(process)s")


def renew_lease(using: str, process: int, until: datetime) -> bool:
    """Extend a lease; return False if the process has no row any more."""
    return bool(RENEW.change(using, process=process, until=until))
