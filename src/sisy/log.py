"""How what happened is written down."""

import logging
import signal

from django.utils.translation import ngettext

logger = logging.getLogger("sisy")


def signal_name(number: int) -> str:
    """Return the name of a signal, such as SIGKILL; of one that has none, its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Outage:
    """Something that Sisy needs and that may be away for a while: one line when it goes, one back.

    Args:
        what: as it stands in the log, such as "the database".
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.failures = 0

    def failed(self, error: BaseException, meanwhile: str) -> None:
        """Note a failure; only the first of an outage is logged, with what happens meanwhile."""
        if not self.failures:
            logger.warning(
                "%s failed (%s: %s); %s", self.what, type(error).__name__, error, meanwhile
            )
        self.failures += 1

    def recovered(self) -> None:
        """Note a success; the first one after an outage is logged."""
        if self.failures:
            times = ngettext("%d failure", "%d failures", self.failures) % self.failures
            logger.info("%s is back after %s", self.what, times)
            self.failures = 0
