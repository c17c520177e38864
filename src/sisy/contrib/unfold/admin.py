"""Registers the admins of tasks, runs and queues again, based on Unfold's."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from sisy.admin import QueueAdmin, RunAdmin, TaskAdmin
from sisy.models import Queue, Run, Task

ADMINS = {Task: TaskAdmin, Run: RunAdmin, Queue: QueueAdmin}

for model, ours in ADMINS.items():
    admin.site.unregister(model)
    admin.site.register(model, type(f"Unfold{ours.__name__}", (ours, ModelAdmin), {}))
