"""The names of Sisy's metrics, as Prometheus stores them."""

from sisy.monitoring.collector import COUNTED, MEASURED, OF_QUEUES, SisyCollector

SUFFIXES = {"counter": "_total", "info": "_info"}

LABELS = {
    **{name: ("engine", "queue") for name, _, _ in OF_QUEUES},
    **{f"{name}_total": tuple(labels) for _, name, _, labels in COUNTED},
    **{name: tuple(labels) for _, name, _, labels in MEASURED},
    "sisy_runs_total": ("queue", "outcome"),
    "sisy_alerts_open": ("kind", "severity"),
    "sisy_info": ("version",),
    "sisy_lease_renewed_timestamp_seconds": ("role",),
    "sisy_leases_expired": (),
    "sisy_outbox_messages": ("state",),
    "sisy_outbox_oldest_seconds": (),
    "sisy_planning_overdue_seconds": (),
    "sisy_processes": ("role",),
    "sisy_slots": (),
}
"""The labels of each metric."""


def exposed_names() -> set[str]:
    """Return the name of each metric of a scrape."""
    return {family.name + SUFFIXES.get(family.type, "") for family in SisyCollector().collect()}


def stored_names() -> set[str]:
    """Return the name of each series that Prometheus may store."""
    names = exposed_names()
    of_histograms = {name for _, name, _, _ in MEASURED}
    parts = {f"{name}_{part}" for name in of_histograms for part in ("bucket", "sum", "count")}
    return (names - of_histograms) | parts
