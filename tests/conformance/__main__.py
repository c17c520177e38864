"""Fetches the tests of the installed Django, and runs them on Sisy's backend."""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

TESTS = "tests/tasks"


def fetch(version: str, folder: Path) -> Path:
    """Download the source of a version of Django, and return the folder of its tests."""
    asked = [f"django=={version}", "--no-deps", "--no-binary", "django", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *asked], check=True)
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        wanted = [one for one in source.getmembers() if f"/{TESTS}/" in one.name]
        if not wanted:
            raise SystemExit(f"Django {version} has no {TESTS}: take Django 6.0 or newer.")
        source.extractall(folder, members=wanted, filter="data")
    [extracted] = folder.glob("*/tests")
    return extracted


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        tests = fetch(django.__version__, Path(folder))
        environment = {**os.environ, "SISY_DJANGO_TESTS": str(tests)}
        asked = ["-m", "pytest", "-p", "no:randomly", "tests/conformance", *sys.argv[1:]]
        return subprocess.run([sys.executable, *asked], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
