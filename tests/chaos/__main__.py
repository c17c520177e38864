"""``python -m tests.chaos`` breaks a fleet on purpose, and says whether its promises held."""

import argparse
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos import grounds
from tests.chaos.nemesis import NEMESES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to break things")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--db", choices=("postgres", "mariadb", "sqlite"), default="postgres")
    parser.add_argument(
        "--layer",
        choices=("valkey", "none"),
        help="without one, LISTEN/NOTIFY rings on PostgreSQL, and elsewhere workers only poll",
    )
    parser.add_argument(
        "--nemesis",
        choices=NEMESES,
        default="all",
        help="freeze: only freeze processes; edit: only edit tasks, just before they are due",
    )
    parser.add_argument("--tasks", type=int, default=300, help="fewer for a busy machine")
    given = parser.parse_args()
    layer = given.layer or ("none" if given.db == "sqlite" else "valkey")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="sisychaos"))
    print(f"Seed {given.seed}. Logs in {folder}", flush=True)
    with grounds.opened(given.db, layer, folder) as ground:
        verdict = _prove(given, layer, folder, ground)
    if verdict:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if verdict else 1


def _prove(given: argparse.Namespace, layer: str, folder: Path, ground: grounds.Ground) -> bool:
    """Carry it out and show it. Django is set up only here: its settings name the servers."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from tests.chaos import checker, proof, report

    options = proof.Options(
        seconds=given.seconds,
        seed=given.seed,
        database=given.db,
        layer=layer,
        nemesis=given.nemesis,
        tasks=given.tasks,
        folder=folder,
    )
    proven = proof.prove(options, ground)
    (folder / "evidence.pickle").write_bytes(pickle.dumps(proven))
    verdict = checker.check(proven.evidence)
    report.show(options, proven, verdict)
    return verdict.is_ok


if __name__ == "__main__":
    sys.exit(main())
