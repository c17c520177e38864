"""The newest runs of each of some tasks, however many runs they have."""

from collections.abc import Collection

from django.db import connections

from sisy.models import Run
from sisy.models.run_queries import RunQuerySet


def newest_runs(
    using: str, tasks: Collection[int], count: int, before: int | None = None
) -> RunQuerySet:
    """Return the newest ``count`` runs of each task, all together, newest first.

    With ``before``, those that are older than the run of that key.

    An index leads to the newest runs of one task, so that each is looked at by itself; all of them
    in one statement.
    """
    runs = Run.objects.using(using)
    if not tasks:
        return runs.none()
    older = runs if before is None else runs.filter(pk__lt=before)
    each = [older.filter(task=pk).order_by("-pk").values("pk")[:count] for pk in tasks]
    compiled = [query.query.get_compiler(using).as_sql() for query in each]
    united = " UNION ALL ".join(
        f"SELECT * FROM ({sql}) AS newest_{number}" for number, (sql, _) in enumerate(compiled)
    )
    with connections[using].cursor() as cursor:
        cursor.execute(united, [value for _, values in compiled for value in values])
        pks = [pk for (pk,) in cursor.fetchall()]
    return runs.filter(pk__in=pks).order_by("-pk")
