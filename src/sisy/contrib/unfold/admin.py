"""Registers the admins of tasks, runs, queues and messages again, based on Unfold's."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from sisy.admin import OutboxMessageAdmin, QueueAdmin, RunAdmin, TaskAdmin
from sisy.models import OutboxMessage, Queue, Run, Task

ADMINS = {
    Task: TaskAdmin,
    Run: RunAdmin,
    Queue: QueueAdmin,
    OutboxMessage: OutboxMessageAdmin,
}

for model, ours in ADMINS.items():
    admin.site.unregister(model)
    admin.site.register(model, type(f"Unfold{ours.__name__}", (ours, ModelAdmin), {}))
