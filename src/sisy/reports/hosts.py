"""The processes by host and version, so that a rolling deploy is visible."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext, ngettext

from sisy.models import Process, Role
from sisy.reports.fleet import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGroup:
    """The processes of one version on one host."""

    host: str
    version: str
    members: list[Member]

    @property
    def drainable(self) -> list[Process]:
        """Return the workers that can be drained."""
        return [member.process for member in self.members if member.can_drain]

    @property
    def words(self) -> str:
        """The number of processes of each role."""
        return roles_in_words(Counter(member.process.role for member in self.members))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The slots of all workers that claim runs."""

    used: int
    total: int

    @property
    def free(self) -> int:
        return max(0, self.total - self.used)


def by_host(members: Sequence[Member]) -> list[HostGroup]:
    """Return the processes in groups, sorted by host; on a host, the newest version first."""
    groups: dict[tuple[str, str], list[Member]] = {}
    for member in sorted(members, key=lambda one: one.process.started_at, reverse=True):
        groups.setdefault((member.process.host, member.process.version), []).append(member)
    found = [
        HostGroup(host=host, version=version, members=sorted(group, key=members.index))
        for (host, version), group in groups.items()
    ]
    return sorted(found, key=lambda group: group.host)  # stable, so versions keep their order


def slots_of(members: Sequence[Member]) -> Slots:
    """Return how many slots the workers that claim runs have, and how many of these are in use."""
    up = [one for one in members if one.can_drain]
    return Slots(used=sum(len(one.runs) for one in up), total=sum(one.process.slots for one in up))


def versions_in_words(members: Sequence[Member]) -> list[str]:
    """Return, for each version, how many processes execute it; the newest version first."""
    counts: dict[str, Counter[str]] = {}
    for member in sorted(members, key=lambda one: one.process.started_at, reverse=True):
        if not member.is_silent:
            counts.setdefault(member.process.version, Counter())[member.process.role] += 1
    return [
        gettext("%(processes)s on %(version)s")
        % {"processes": roles_in_words(roles), "version": version or gettext("an older version")}
        for version, roles in counts.items()
    ]


def roles_in_words(roles: "Counter[str]") -> str:
    """Return how many processes there are of each role, workers first."""
    named = [
        (Role.WORKER, ngettext("%d worker", "%d workers", roles[Role.WORKER])),
        (Role.HEARTBEAT, ngettext("%d heartbeat", "%d heartbeats", roles[Role.HEARTBEAT])),
        (Role.ENGINE, ngettext("%d engine", "%d engines", roles[Role.ENGINE])),
    ]
    return ", ".join(words % roles[role] for role, words in named if roles[role])
