"""Run the tasks of ``django.tasks``, which were enqueued on Sisy or have a schedule."""
