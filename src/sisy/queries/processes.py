"""Whether anybody is there to plan and to carry out, and whether a queue is paused."""

from collections.abc import Iterator

from django.db import router
from django.utils.translation import gettext

from sisy import clock
from sisy.models import Process, Queue, Role, Task


def missing_processes() -> Iterator[str]:
    """Yield a sentence for each kind of process that is needed, and of which none is up."""
    using = router.db_for_write(Task)
    alive = list(Process.objects.using(using).alive(clock.now(using)))
    if not any(process.role == Role.HEARTBEAT for process in alive):
        yield gettext(
            "No heartbeat is up: nothing is planned. Start 'manage.py sisy', or 'sisy_heartbeat'."
        )
    served = {queue for process in alive for queue in process.queues}
    wanted = Task.objects.using(using).active().of_own_workers().order_by()
    queues = wanted.values_list("queue", flat=True)
    for queue in sorted(set(queues.distinct()) - served):
        yield gettext(
            "No worker serves the queue '%(queue)s': its runs wait. "
            "Start 'manage.py sisy_worker --queues %(queue)s'."
        ) % {"queue": queue}


def paused_queues() -> Iterator[str]:
    """Yield a sentence for each queue of which no worker takes runs since somebody paused it."""
    for queue in Queue.objects.using(router.db_for_write(Task)).paused():
        reason = f": {queue.pause_reason.rstrip('.')}" if queue.pause_reason else ""
        yield gettext("The queue '%(queue)s' is paused%(reason)s; its runs wait.") % {
            "queue": queue,
            "reason": reason,
        }
