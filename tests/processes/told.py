"""What processes wrote about outages: one line when something goes, one when it is back."""

import re
from collections import defaultdict

from tests.processes.process import Process

FAILED = re.compile(r"^(.+?) failed \((\w+)\b.*", re.MULTILINE)
IS_BACK = re.compile(r"^(.+?) works again after \d+ failures?", re.MULTILINE)


def outages_told_by(process: Process) -> dict[str, str]:
    """Return what was away, by its name in the log: as ``-+`` for one outage that has ended."""
    told: dict[str, str] = defaultdict(str)
    for line in process.output.splitlines():
        if failed := FAILED.match(line):
            told[failed[1]] += "-"
        elif is_back := IS_BACK.match(line):
            told[is_back[1]] += "+"
    return dict(told)


def each_told_in_pairs(process: Process) -> bool:
    """Whether each failure that it tells of was followed by a recovery, not by another one."""
    return all(re.fullmatch(r"(-\+)*", marks) for marks in outages_told_by(process).values())
