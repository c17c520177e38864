"""``python -m tests.processes.skewed COMMAND …``: a command of manage.py on a host that is wrong.

The environment's SISY_TEST_SKEW says by how many seconds the host's wall clock is fast.
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta

import time_machine


def main() -> None:
    from django.core.management import execute_from_command_line

    real = time.time()
    skew = timedelta(seconds=float(os.environ["SISY_TEST_SKEW"]))
    with time_machine.travel(datetime.now(UTC) + skew, tick=True):
        assert abs(time.time() - real - skew.total_seconds()) < 60
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
