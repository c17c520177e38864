"""Runs, newest first, a page at a time; only what an index leads to is looked for."""

from dataclasses import dataclass

from sisy.models import Origin, Run, RunState
from sisy.models.run_queries import RunQuerySet
from sisy.reports.filters import Filter

PAGE_LIMIT = 50
MAX_RUNS_SEARCHED = 20_000  # the newest runs, among which rarer things are looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter(Filter):
    """The filters of a list of runs."""

    choices = {"state": RunState.values, "origin": Origin.values}

    state: str = ""
    queue: str = ""
    origin: str = ""
    search: str = ""

    @property
    def is_anything(self) -> bool:
        return not (self.state or self.is_rare)

    @property
    def is_rare(self) -> bool:
        """Return whether it asks for what no index leads to."""
        return bool(self.queue or self.origin or self.search)


def find(
    using: str, filters: RunFilter, before: int | None = None
) -> tuple[list[Run], int | None]:
    """Return a page of runs, and the key before which the next one begins; None at the end."""
    runs: RunQuerySet = Run.objects.using(using).defer("payload", "result", "error")
    if filters.state:
        runs = runs.filter(state=filters.state)
    if filters.is_rare:
        newest = Run.objects.using(using).order_by("-pk").values_list("pk", flat=True)
        oldest = newest[MAX_RUNS_SEARCHED - 1 : MAX_RUNS_SEARCHED].first()
        runs = _narrowed(runs.filter(pk__gte=oldest or 0), filters)
    return page_of(runs, before)


def page_of(runs: RunQuerySet, before: int | None) -> tuple[list[Run], int | None]:
    """Return the newest of ``runs`` before a key, and the key before which the next ones are."""
    if before is not None:
        runs = runs.filter(pk__lt=before)
    found = list(runs.order_by("-pk")[: PAGE_LIMIT + 1])
    return found[:PAGE_LIMIT], found[PAGE_LIMIT - 1].pk if len(found) > PAGE_LIMIT else None


def key_of(text: str) -> int | None:
    """Return the key that an address names; None if it names none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _narrowed(runs: RunQuerySet, filters: RunFilter) -> RunQuerySet:
    if filters.queue:
        runs = runs.filter(queue=filters.queue)
    if filters.origin:
        runs = runs.filter(origin=filters.origin)
    if filters.search:
        runs = runs.filter(label__icontains=filters.search)
    return runs
