"""Scripts that kill, freeze and restart heartbeats."""

import socket

from sisy.alerting.problem import of_host, of_task
from sisy.models import Process, Role, Task
from sisy.records.problems import Kind
from tests.simulation.alerts.site import CALM, PULSE, Script, Site
from tests.support.moments import SECOND

STATEMENTS = 20  # of a pass, before one of which a heartbeat may be killed
HARM_EVERY = 2.0  # minutes


def disturb(site: Site) -> Script:
    """Kill, stop and freeze heartbeats for some seconds, one at a time: no problem."""
    draw = site.world.random
    while True:
        yield site.later(0.1, 2 * HARM_EVERY)
        if site.is_disturbed:
            continue
        victim = draw.choice(site.heartbeats)
        harm = draw.choice(("kill", "kill in a pass", "stop", "freeze", "freeze in a pass"))
        site.history.count(harm)
        if harm == "kill":
            victim.crash()
        elif harm == "kill in a pass":
            victim.player.statements_to_live = draw.randrange(STATEMENTS)
            yield site.world.now + 2 * PULSE * SECOND
            victim.crash()
        elif harm == "stop":
            victim.stop()
        else:
            if harm == "freeze in a pass":
                victim.player.freeze_after = draw.randrange(STATEMENTS)
                victim.player.freeze_for = draw.uniform(1, 12) * SECOND
            else:
                victim.freeze(draw.uniform(1, 12))
            yield site.world.now + 20 * SECOND
            continue
        yield site.world.now + draw.uniform(1, 8) * SECOND
        site.start(victim)
        # The next one must not be harmed before this one may judge.
        yield site.world.now + 60 * SECOND


def deaths(site: Site, number: int) -> Script:
    """Let some heartbeats be dead, or frozen, for minutes, while others go on."""
    cause = "all heartbeats but one die" if number > 1 else "a heartbeat dies"
    while True:
        yield site.later(30, 50)
        yield site.may_lose_heartbeats
        site.is_disturbed = True
        yield site.later(2)
        victims = site.world.random.sample(site.heartbeats, number)
        is_frozen = number == 1 and site.world.random.random() < 0.5
        length = site.world.random.uniform(2.5, 4)
        pks = [victim.process.pk for victim in victims]
        for victim in victims:
            if is_frozen:
                cause = "a heartbeat freezes"
                victim.freeze(length * 60)
            else:
                victim.crash()
        yield lambda pks=pks: not Process.objects.filter(pk=pks[0], ended_at=None).exists()
        problem = site.begin(cause, Kind.NO_HEARTBEAT, of_host(socket.gethostname()))
        began = site.world.now
        if is_frozen:
            # It goes on, finds that its lease is lost, and registers again.
            yield lambda began=began: _has_joined_since(began)
        else:
            yield site.later(length)
            for victim in victims:
                site.start(victim)
            yield lambda began=began: _has_joined_since(began)
        site.end(problem)
        site.calm_at, site.is_disturbed = site.later(CALM), False


def _has_joined_since(moment) -> bool:
    heartbeats = Process.objects.filter(role=Role.HEARTBEAT)
    return heartbeats.filter(started_at__gt=moment).exists()


def outage(site: Site) -> Script:
    """Kill all heartbeats, so that each task that is due meanwhile misses occurrences."""
    while True:
        yield site.later(70, 90)
        yield site.may_lose_heartbeats
        site.is_closed = site.is_disturbed = True
        yield lambda: not site.injections.open
        yield site.later(11)  # what recurs within ten minutes would open an alert again
        yield lambda: not site.injections.open
        for heartbeat in site.heartbeats:
            heartbeat.crash()
        yield site.later(4, 12)
        site.history.count("outage of all heartbeats")
        for heartbeat in site.heartbeats:
            site.start(heartbeat)
        yield lambda: all(heartbeat.process for heartbeat in site.heartbeats)
        yield site.world.now + 6 * SECOND
        tasks = Task.objects.active().filter(schedule="* * * * *")
        problems = [site.begin("outage", Kind.MISSED, of_task(task.pk)) for task in tasks]
        ended = {task.label: len(site.fleet.ended[task.label]) for task in tasks}
        yield lambda ended=ended: all(
            len(site.fleet.ended[label]) > number + 1 for label, number in ended.items()
        )
        for problem in problems:
            problem.ended = site.world.now
        yield site.later(15)
        site.is_closed = site.is_disturbed = False


def all_scripts(site: Site) -> list[Script]:
    """Return all scripts of this module."""
    return [disturb(site), deaths(site, 1), deaths(site, len(site.heartbeats) - 1), outage(site)]
