"""Tasks that are due in each second of a short while, and then not before next year."""

import time
from datetime import timedelta

from benchmarks import jobs
from sisy import clock
from sisy.models import Overlap, Run, Task, task_with_callable

SECOND = timedelta(seconds=1)
SAVED_A_SECOND = 500  # tasks, at least
TIME_TO_PLAN = 4  # seconds from the last task saved to the first one due
END_TIMEOUT = 300  # seconds


class FallingDue:
    """So many tasks, each due in so many seconds in a row.

    They need no edit to stop: their schedule names the minute and the seconds.
    """

    def __init__(self, tasks: int, seconds: int) -> None:
        begin = clock.now("default").replace(microsecond=0)
        begin += SECOND * (TIME_TO_PLAN + tasks // SAVED_A_SECOND)
        if begin.second + seconds > 60:
            begin = begin.replace(second=0) + 60 * SECOND
        last = begin + (seconds - 1) * SECOND
        self._end = last + SECOND
        schedule = f"{begin:%-M %-H %-d %-m} * {begin.second}-{last.second}"
        Task.objects.bulk_create(
            task_with_callable(
                jobs.noop,
                label=f"due {n}",
                schedule=schedule,
                timezone="UTC",
                overlap=Overlap.ALLOW,
            )
            for n in range(tasks)
        )

    def wait_until_done(self) -> None:
        """Wait until all of them are planned and over."""
        deadline = time.monotonic() + END_TIMEOUT
        while clock.now("default") < self._end + SECOND or Run.objects.live().exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{Run.objects.live().count()} runs are not over")
            time.sleep(0.1)
