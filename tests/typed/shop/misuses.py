"""What a type checker should find in a user's project: each line is wrong, and says so.

A comment that ignores no error is an error itself, so that none of them goes unnoticed.
"""

from datetime import datetime
from typing import Any

from sisy import current_run, schedule
from sisy.models import Run, Task, task_with_callable
from sisy.schedules import Schedule
from sisy.testing import sisy_time


@schedule("@daily", max_attempts="three")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
def count(message: dict[str, Any]) -> int:
    return 1


@schedule("@daily", overlapp="allow")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
def other(message: dict[str, Any]) -> int:
    return 1


def misuse(run: Run) -> None:
    schedule(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    count("message")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    task_with_callable(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    task_with_callable(count, iterations="3")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Task.run_once(count, ["a"])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Task.run_once(count, priority="high")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Task.run_once(count, timeot=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Task.bulk_run_once(count, [{}], queue=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Task.run_iterations(count, max_attempts="3")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    run.cancel(reason=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    run.acancel()  # type: ignore[unused-coroutine] # pyright: ignore[reportUnusedCoroutine]
    current_run().progress("half")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    current_run().progress(0.4, "row 4")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    current_run().track(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    current_run().id = 5  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    Schedule(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    moment: datetime = Schedule("@daily").next_after(datetime.now())  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]
    with sisy_time(moment) as time:
        time.advance(hours="6")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def misuse_async(task: Task) -> None:
    await task.apause(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await Task.arun_once(count, priority="high")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await Task.arun_once(count, timeot=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
