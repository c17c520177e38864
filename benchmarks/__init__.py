"""What Sisy costs, and how late it is: ``make bench``.

The sites that are measured are those of the tests: real processes, a PostgreSQL that waits for the
disk as in production, a Valkey. Each benchmark prints its figures, what they were measured on, the
bar that they must not pass, and the command that measures again; it exits with 1 above the bar.
"""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.processes.settings"
django.setup()
