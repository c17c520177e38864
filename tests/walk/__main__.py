"""``python -m tests.walk`` prints what runs when a task falls due; see `tests.walk` for terms."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.walk.settings"

EXTRAS = ("apprise", "opentelemetry", "prometheus_client", "sentry_sdk")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.walk",
        description="Print the files, functions and threads that take part when a task falls due.",
    )
    parser.add_argument("--most", type=int, metavar="N", help="fail if it enters more files")
    options = parser.parse_args()
    import django

    # A site without extras, whether or not they are installed here.
    sys.modules.update(dict.fromkeys(EXTRAS))  # type: ignore[arg-type]
    django.setup()
    from tests.walk import report
    from tests.walk.moment import walk

    with _new_database() as place:
        walked = walk()
    print(f"One due moment on {place}\n\n{report.of(walked)}")
    return judged(len(walked.files), options.most)


def judged(files: int, most: int | None) -> int:
    """Return the exit code, and say on standard error why it is not 0."""
    if most is None or files <= most:
        return 0
    print(f"The walk enters {files} files; at most {most} are allowed.", file=sys.stderr)
    return 1


@contextmanager
def _new_database() -> Iterator[str]:
    """Let all threads use a new, migrated database, which is dropped at the end.

    Yield what the site uses.
    """
    from channels.layers import get_channel_layer
    from django.db import connection

    usual = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield f"{connection.display_name} and {type(get_channel_layer()).__name__}"
    finally:
        connection.creation.destroy_test_db(usual, verbosity=0)


if __name__ == "__main__":
    sys.exit(main())
