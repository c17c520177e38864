"""Runs of tasks of ``django.tasks``: enqueued on Sisy, or on one of its schedules."""
