"""Sisy does what every backend of django.tasks should do."""

from django.test import TransactionTestCase
from django.utils import timezone

from sisy import testing


class TestSisyBackend(testing.BackendConformance, TransactionTestCase):
    def work(self):
        with testing.sisy_time(timezone.now()) as time:
            time.run_due()
