"""The warning about schedules that run every second by mistake."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage

from sisy.checks.quoting import warning
from sisy.schedules.suggestions import probably_meant


def every_second_of_a_minute(
    what: str, expression: str, obj: Any, users: str = ""
) -> Iterator[CheckMessage]:
    """Yield a warning if the fields of a valid schedule are probably in another order.

    Args:
        what: the beginning of the sentence, which names the schedule.
        users: a sentence about the tasks with the schedule.
    """
    if meant := probably_meant(expression):
        yield warning(
            f"{what} matches every second of a minute. Its sixth field, the seconds, is '*', but "
            "its minute is a number. Quartz and Spring put seconds first, and AWS puts the year "
            f"last.{users and ' '}{users}",
            hint=(
                f"Did you mean {meant!r}? To match every second, use '0-59' in the seconds field."
            ),
            obj=obj,
            id="sisy.W014",
        )
