"""A command of manage.py whose heartbeats ping the dead man's switch each second."""

import sys

PING_INTERVAL = 1.0


def main() -> None:
    import django
    from django.core.management import execute_from_command_line

    django.setup()
    from sisy.alerting import deadman

    deadman.PING_INTERVAL, deadman.RETRY_INTERVAL = PING_INTERVAL, PING_INTERVAL / 2
    execute_from_command_line(sys.argv)
