"""The moment at which most tests begin, and the steps in which they go on."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days")
)
