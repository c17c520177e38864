"""The warning about schedules that run every second by mistake."""

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage

from sisy.checks.quoting import warning
from sisy.schedules.suggestions import probably_meant


def every_second_of_a_minute(what: str, expression: str, obj: Any) -> Iterator[CheckMessage]:
    """Yield a warning if the fields of a valid schedule are probably in another order.

    Args:
        what: the beginning of the sentence, which says whose schedule it is.
    """
    if meant := probably_meant(expression):
        yield warning(
            f"{what} matches every second of a minute. Its sixth field, the seconds, is '*', but "
            "its minute is a number. Quartz and Spring put seconds first, and AWS puts the year "
            "last.",
            hint=(
                f"Did you mean {meant!r}? To match every second, use '0-59' in the seconds field."
            ),
            obj=obj,
            id="sisy.W014",
        )
