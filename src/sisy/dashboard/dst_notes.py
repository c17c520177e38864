"""Notes on occurrences around daylight saving time changes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.utils.translation import gettext

from sisy.runtime.durations import duration_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A due moment, as local time in the schedule's zone."""

    due: datetime
    local: str
    note: str
    """The note about a clock change; empty if there is none."""


def told(moments: Iterable[datetime], zone: str, before: datetime) -> Iterator[Occurrence]:
    """Yield each moment with its note; the first one is compared with ``before``."""
    where = ZoneInfo(zone)
    offset = before.astimezone(where).utcoffset()
    for due in moments:
        local = due.astimezone(where)
        now = local.utcoffset()
        yield Occurrence(
            due=due, local=f"{local:%a %Y-%m-%d %H:%M:%S %Z}", note=_note(local, offset)
        )
        offset = now


def _note(local: datetime, offset: timedelta | None) -> str:
    now = local.utcoffset()
    if local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset() and _is_real(local):
        if local.fold:
            return gettext("The clocks go back: this local time occurs twice. This is the second.")
        return gettext("The clocks go back: this local time occurs twice. This is the first.")
    if now is None or offset is None or now == offset:
        return ""
    if now > offset:
        return gettext("Before this occurrence, the clocks go forward by %s.") % duration_text(
            now - offset
        )
    return gettext("Before this occurrence, the clocks go back by %s.") % duration_text(
        offset - now
    )


def _is_real(local: datetime) -> bool:
    """Return whether the local time exists, and is not skipped in spring."""
    there_and_back = local.astimezone(UTC).astimezone(local.tzinfo)
    return there_and_back.replace(tzinfo=None) == local.replace(tzinfo=None)
