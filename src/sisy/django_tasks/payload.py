"""The data stored with a run of a ``django.tasks`` task: its arguments and options.

An enqueued run stores them under one key, which cannot be the name of an argument. On a schedule,
the user data are the keyword arguments.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

KEY = "django.tasks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The arguments of a run, and the options with which it was enqueued.

    Attributes:
        backend: the alias on which it was enqueued; None on a schedule.
        run_after: the aware moment that was given; or None.
    """

    args: list[Any]
    kwargs: dict[str, Any]
    backend: str | None = None
    run_after: datetime | None = None

    @classmethod
    def read(cls, data: dict[str, Any]) -> Self:
        """Return the payload in stored ``data``."""
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
        """Return the data to store."""
        return {
            KEY: {
                "args": self.args,
                "kwargs": self.kwargs,
                "backend": self.backend,
                "run_after": self.run_after and self.run_after.isoformat(),
            }
        }


def is_enqueued(data: dict[str, Any]) -> bool:
    """Return whether ``data`` belongs to an enqueued run."""
    return KEY in data
