"""The statements of a report, in a number that is the same on each database."""

import re
from collections.abc import Iterable, Mapping

STEP = re.compile(r"SELECT planned_at\s+FROM sisy_run WHERE id >= \d+")


def without_steps(captured: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the SQL of statements, without those with which MariaDB finds the key of a moment.

    There, each step takes a statement of its own; elsewhere, one statement takes all of them.
    """
    return [each["sql"] for each in captured if not STEP.match(each["sql"])]
