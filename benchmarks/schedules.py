"""What it costs to find the next due moment, and to refuse schedules that cannot be used."""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from benchmarks import report
from sisy.exceptions import ScheduleError
from sisy.schedules import Schedule, expression, wall_clock, zones

REFUSAL_BAR = 50e-3  # seconds
OFTEN, LEAP_DAY = "*/5 * * * *", "0 0 29 2 *"
STEPPED = (OFTEN, "* * * * * *", "30 1 * * *", "0 9 * * mon-fri", "0 0 l * *", LEAP_DAY)
NEW_YORK = "America/New_York"
STEPS, SPAN = 86, timedelta(minutes=7)  # the moments from which the next one is asked for

PLACES = {
    "UTC": ("UTC", datetime(2026, 3, 1, tzinfo=UTC)),
    "New York, no change": (NEW_YORK, datetime(2026, 6, 1, tzinfo=UTC)),
    "New York, gap in spring": (NEW_YORK, datetime(2026, 3, 8, 2, tzinfo=UTC)),
    "New York, fold in autumn": (NEW_YORK, datetime(2026, 11, 1, 1, tzinfo=UTC)),
}
"""A zone, and where ten hours begin that hold a change of its clock, or none."""

STEP_BARS = {
    (OFTEN, "UTC"): 10e-6,
    **{(OFTEN, place): 15e-6 for place in PLACES if place != "UTC"},
    **{(LEAP_DAY, place): 30e-6 for place in PLACES},
}
"""The seconds that a step may take."""

REFUSED = (
    "0 0 30 2 *",
    "0 0 31 2,4,6,9,11 *",
    "0 0 * 2 mon#6",
    "61 * * * *",
    "* * * * * * *",
    f"0 0 {','.join(['30', '31'] * 41)} 2 *",
    f"{','.join(map(str, range(60)))} 0 30,31 2 * {','.join(map(str, range(20)))}",
    "0," * 100_000 + "0 * * * *",
)

Asked = Callable[[], object]
Step = tuple[str, str, float, float]


def seconds_per_call(ask: Asked, calls: int) -> float:
    began = time.perf_counter()
    for _ in range(calls):
        ask()
    return (time.perf_counter() - began) / calls


def interleaved(asked: Sequence[Asked], calls: int, repeats: int) -> list[float]:
    """Return the median cost of each, all taken in turn, so that a noisy moment hits all."""
    taken = [[seconds_per_call(ask, calls) for ask in asked] for _ in range(repeats)]
    return [statistics.median(costs) for costs in zip(*taken, strict=True)]


def step_rows(repeats: int) -> list[Step]:
    """Return for each schedule and place what a step takes Sisy, and croniter, in seconds."""
    cases = [(text, place) for text in STEPPED for place in PLACES]
    ours = interleaved([_stepping(*case) for case in cases], 10, repeats)
    theirs = interleaved([_croniter_stepping(*case) for case in cases], 1, max(3, repeats // 10))
    return [
        (*case, ours / STEPS, theirs / STEPS)
        for case, ours, theirs in zip(cases, ours, theirs, strict=True)
    ]


def _moments(start: datetime) -> list[datetime]:
    return [start + n * SPAN for n in range(STEPS)]


def _stepping(text: str, place: str) -> Asked:
    """Return what asks once from each of the `_moments`; warm."""
    zone, start = PLACES[place]
    schedule, moments = Schedule(text, zone), _moments(start)

    def step_from_each() -> None:
        for moment in moments:
            schedule.next_after(moment)

    step_from_each()
    return step_from_each


def _croniter_stepping(text: str, place: str) -> Asked:
    name, start = PLACES[place]
    moments = [moment.astimezone(ZoneInfo(name)) for moment in _moments(start)]

    def step_from_each() -> None:
        for moment in moments:
            croniter(text, moment).get_next(datetime)

    return step_from_each


def refusal(text: str, repeats: int) -> tuple[float, float]:
    """Return what refusing ``text`` costs Sisy with cold caches, and croniter, in seconds."""

    def refuse() -> None:
        try:
            Schedule(text, NEW_YORK)
        except ScheduleError:
            return
        raise AssertionError(f"{text!r} was not refused")

    def croniter_refuses() -> None:
        try:
            croniter(text, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
        except (ValueError, KeyError):
            return

    costs = []
    for _ in range(repeats):
        forget()
        costs.append([seconds_per_call(refuse, 1), seconds_per_call(croniter_refuses, 1)])
    ours, theirs = (statistics.median(cost) for cost in zip(*costs, strict=True))
    return ours, theirs


def forget() -> None:
    """Empty every cache of the schedules."""
    for module in (expression, wall_clock, zones):
        for thing in vars(module).values():
            if hasattr(thing, "cache_clear"):
                thing.cache_clear()


def _is_met(step: Step) -> bool:
    text, place, ours, _ = step
    return ours <= STEP_BARS.get((text, place), float("inf"))


def _row(step: Step) -> list[str]:
    text, place, ours, theirs = step
    bar = STEP_BARS.get((text, place))
    judged = "" if bar is None else f"<= {bar * 1e6:g}: {report.verdict(_is_met(step))}"
    return [
        text,
        place,
        f"{ours * 1e6:.1f}",
        f"{theirs * 1e6:.0f}",
        f"{ours / theirs:.3f}",
        judged,
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedules", description=__doc__)
    parser.add_argument("--repeats", type=int, default=50, help="of each figure (default: 50)")
    options = parser.parse_args()
    report.progress("stepping")
    steps = step_rows(options.repeats)
    report.progress("refusing")
    refusals = [(text, *refusal(text, options.repeats)) for text in REFUSED]
    are_met = all(map(_is_met, steps)), max(ours for _, ours, _ in refusals) <= REFUSAL_BAR
    report.show(
        "SCHEDULES: what it costs to find the next due moment, and to refuse a schedule",
        f"Schedule.next_after, warm; medians of {options.repeats} interleaved repeats. croniter "
        "parses and steps once.",
        report.table(
            ["schedule", "where", "Sisy us", "croniter us", "Sisy/croniter", "bar"],
            list(map(_row, steps)),
        ),
        "Refusing what cannot be used, all caches cold.",
        report.table(
            ["schedule", "characters", "Sisy ms", "croniter ms", "Sisy/croniter"],
            [
                [
                    text if len(text) < 40 else f"{text[:36]} ...",
                    str(len(text)),
                    f"{ours * 1e3:.2f}",
                    f"{theirs * 1e3:.2f}",
                    f"{ours / theirs:.2f}",
                ]
                for text, ours, theirs in refusals
            ],
        ),
        f"Bar: each within {REFUSAL_BAR * 1e3:g} ms: {report.verdict(are_met[1])}",
        module="benchmarks.schedules",
        options=vars(options),
    )
    report.keep("schedules", {f"{text}, {place}": ours for text, place, ours, _ in steps})
    return report.judged(all(are_met))


if __name__ == "__main__":
    sys.exit(main())
