"""The data stored with a run of a ``django.tasks`` task: its arguments and options.

What was enqueued stands under one key, which can be no name of an argument. On a schedule, the
user data are the arguments, by name.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

KEY = "django.tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The arguments of a run, and how it was asked for.

    Attributes:
        backend: the alias on which it was enqueued; None on a schedule.
        run_after: as it was given, aware; or None.
    """

    args: list[Any]
    kwargs: dict[str, Any]
    backend: str | None = None
    run_after: datetime | None = None

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Return what ``data``, as it was stored, says."""
        if not is_enqueued(data):
            return cls(args=[], kwargs=data)
        stored = data[KEY]
        after = stored["run_after"]
        return cls(
            args=stored["args"],
            kwargs=stored["kwargs"],
            backend=stored["backend"],
            run_after=after and datetime.fromisoformat(after),
        )

    def stored(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return {
            KEY: {
                "args": self.args,
                "kwargs": self.kwargs,
                "backend": self.backend,
                "run_after": self.run_after and self.run_after.isoformat(),
            }
        }


def is_enqueued(data: dict[str, Any]) -> bool:
    """Return whether ``data`` was stored with a run that somebody has enqueued."""
    return KEY in data
