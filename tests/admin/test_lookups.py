"""What can be asked by the address of a list: what its filters offer, and nothing else."""

import pytest
from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.db import models

from sisy.admin import RunAdmin
from sisy.models import OutboxMessage, Queue, Run, Task
from tests.admin.pages import QUEUES, RUNS, TASKS
from tests.admin.people import browser_of
from tests.support.records import scheduled

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

MESSAGES = "/admin/sisy/outboxmessage/"
LISTS = {Task: TASKS, Run: RUNS, Queue: QUEUES, OutboxMessage: MESSAGES}
OFFERED = {
    Task: {"state", "state__exact", "queue", "queue__exact", "queue__isnull"}
    | {"overlap", "overlap__exact", "state__isnull", "overlap__isnull"},
    Run: {"state", "state__exact", "state__isnull", "origin", "origin__exact", "origin__isnull"}
    | {
        "queue",
        "queue__exact",
        "planned_at__gte",
        "planned_at__lt",
    },
    Queue: set(),
    OutboxMessage: {"event", "event__exact", "event__isnull", "failed_at__isempty"},
}
JSON_KEYS = ("password", "password__startswith", "0__regex")
TELLING = {"exact", "gt", "in", "isnull", "contains", "regex", "year", "has_key"}


def columns_of(model, depth=2):
    """Return every column that a lookup can name, those of related models included."""
    found = {"pk": model._meta.pk}
    for field in model._meta.get_fields():
        found[field.name] = field
        if isinstance(field, models.Field):
            found[field.attname] = field
        if field.is_relation and depth:
            deeper = columns_of(field.related_model, depth - 1)
            found |= {f"{field.name}__{name}": other for name, other in deeper.items()}
    return found


def lookups_of(model):
    """Return everything that somebody could try of a list of ``model``."""
    sisys = model._meta.app_label == "sisy"
    assert sisys
    columns = columns_of(model)
    for name in [*columns, "sisy_reader_sees_details"]:
        field = columns.get(name, models.TextField())
        known = field.get_lookups() if isinstance(field, models.Field) else {}
        # Columns of related models are rejected whatever the lookup: a few kinds are enough.
        if "__" in name:
            known = set(known) & TELLING
        yield name
        yield from (f"{name}__{lookup}" for lookup in [*known, "len", "year__gte"])
        if isinstance(field, models.JSONField):
            yield from (f"{name}__{lookup}" for lookup in JSON_KEYS)


def test_every_admin_is_walked():
    assert {model for model in admin.site._registry if model._meta.app_label == "sisy"} == {*LISTS}


@pytest.mark.parametrize("model", LISTS)
def test_a_list_accepts_only_the_lookups_that_its_filters_offer(model, rf, admin_user):
    request = rf.get("/")
    request.user = admin_user
    site = admin.site.get_model_admin(model)
    tried = set(lookups_of(model)) | OFFERED[model]
    assert len(tried) > 50
    answered = {lookup for lookup in tried if site.lookup_allowed(lookup, "a", request)}
    assert answered == OFFERED[model]


@pytest.mark.database
@pytest.mark.parametrize(
    "question",
    [
        (RUNS, "payload__password__startswith", "a"),
        (RUNS, "result__startswith", "a"),
        (RUNS, "error__regex", "(a+)+$"),
        (RUNS, "reason__contains", "a"),
        (RUNS, "attempts__error__contains", "a"),
        (RUNS, "task___extra_data__password", "a"),
        (TASKS, "_extra_data__password", "a"),
        (TASKS, "target_error__contains", "a"),
        (TASKS, "runs__result", "a"),
    ],
)
def test_a_lookup_that_is_not_offered_is_rejected(question):
    address, name, value = question
    scheduled(userdata={"password": "abc"}).run_now()
    browser = browser_of("view_task", "view_run")
    assert browser.get(address, {name: value}).status_code == 400


@pytest.mark.database
def test_each_filter_that_is_offered_works():
    scheduled(label="sweep").run_now()
    browser = browser_of("view_task", "view_run")
    for model in (Task, Run):
        for name in OFFERED[model]:
            value = {"isnull": "False", "gte": "2026-05-05", "lt": "2026-05-06"}
            asked = {name: value.get(name.rpartition("__")[2], "1")}
            answer = browser.get(LISTS[model], asked)
            assert answer.status_code == 200, (name, answer)


def test_a_list_by_date_and_filters_of_projects_are_offered_too(rf, admin_user):
    class Slow(SimpleListFilter):
        title, parameter_name = "slow", "slow"

        def lookups(self, request, model_admin):
            return [("yes", "yes")]

        def queryset(self, request, queryset):
            return queryset

    class Ours(RunAdmin):
        date_hierarchy = "due_at"
        list_filter = (Slow, ("error", admin.EmptyFieldListFilter), "task__queue")

    request = rf.get("/")
    request.user = admin_user
    ours = Ours(Run, admin.site)
    offered = {"slow", "error__isempty", "task__queue", "due_at__year", "due_at__month"}
    assert all(ours.lookup_allowed(name, "1", request) for name in offered)
    refused = {"state", "error", "error__regex", "task__label", "due_at__second"}
    assert not any(ours.lookup_allowed(name, "1", request) for name in refused)


@pytest.mark.parametrize("address", [TASKS, RUNS])
def test_a_list_can_be_sorted_only_by_columns_that_it_shows(address):
    """The order of rows tells as much as their number."""
    site = admin.site.get_model_admin(next(m for m, at in LISTS.items() if at == address))
    sorted_by = {
        getattr(getattr(site, name, None), "admin_order_field", None) for name in site.list_display
    }
    assert not sorted_by & {"reason", "error", "result", "payload", "_extra_data", "target_error"}
    assert not {"reason", "error", "result", "payload", "_extra_data"} & {*site.list_display}
