"""``python -m tests.chaos.member COMMAND …``: a command of manage.py that obeys `drops`."""

import os
import sys
from pathlib import Path

import django

from tests.chaos import drops


def main() -> None:
    from django.core.management import execute_from_command_line

    django.setup()
    drops.Dropper(Path(os.environ[drops.ORDER])).install()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
