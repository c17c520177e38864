"""The sentences about missing processes, workers with problems and paused queues."""

from collections.abc import Iterator

from django.db import router
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy import clock
from sisy.models import Process, Queue, Role, Run, Task
from sisy.reports.service import pause_in_words, problem_in_words


def missing_processes() -> Iterator[str]:
    """Yield a sentence for each kind of process that is needed, and of which none is up."""
    using = router.db_for_write(Task)
    alive = list(Process.objects.using(using).alive(clock.now(using)))
    if not any(process.role == Role.HEARTBEAT for process in alive):
        yield gettext(
            "No heartbeat is running, so nothing is planned. Start 'manage.py sisy' or "
            "'manage.py sisy_heartbeat'."
        )
    served = {queue for process in alive for queue in process.queues}
    wanted = Task.objects.using(using).active().native().order_by()
    queues = wanted.values_list("queue", flat=True)
    for queue in sorted(set(queues.distinct()) - served):
        yield gettext(
            "No worker serves the queue '%(queue)s', so its runs stay queued. Start 'manage.py "
            "sisy_worker --queues %(queue)s'."
        ) % {"queue": queue}


def troubled_workers() -> Iterator[str]:
    """Yield a sentence for each worker that claims no runs, because it cannot start functions."""
    using = router.db_for_write(Task)
    alive = Process.objects.using(using).alive(clock.now(using))
    for worker in alive.exclude(problem=""):
        yield problem_in_words(worker, timezone.get_current_timezone())


def paused_queues() -> Iterator[str]:
    """Yield a sentence for each paused queue: by whom, since when, why, and what it holds."""
    using = router.db_for_write(Task)
    paused = list(Queue.objects.using(using).paused())
    if not paused:
        return
    ready = Run.objects.using(using).ready(clock.now(using)).order_by()
    queued = ready.filter(queue__in=[queue.name for queue in paused]).values_list("queue")
    counted = dict(queued.annotate(Count("pk")))
    for queue in paused:
        words = pause_in_words(queue, timezone.get_current_timezone())
        number = counted.get(queue.name, 0)
        runs = ngettext("%d run is queued", "%d runs are queued", number) % number
        yield f"{words[:1].upper()}{words[1:]}: {runs}."
