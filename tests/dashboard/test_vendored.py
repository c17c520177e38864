"""The scripts of others that the dashboard brings along."""

import hashlib
import re
from pathlib import Path

import sisy

VENDOR = Path(sisy.__file__).parent / "static" / "sisy" / "vendor"


def test_each_vendored_file_is_as_published():
    sums = dict(
        reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines()
    )
    files = {file.name: file for file in VENDOR.iterdir() if file.suffix in (".js", ".css")}
    assert sums.keys() == files.keys()
    for name, file in files.items():
        assert hashlib.sha256(file.read_bytes()).hexdigest() == sums[name]


def test_each_vendored_file_has_its_licence():
    for file in VENDOR.glob("*.js"):
        licence = VENDOR / f"{re.match('[A-Za-z]+', file.name)[0]}.LICENSE"
        assert "Permission" in licence.read_text()
