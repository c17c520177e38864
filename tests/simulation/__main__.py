"""``python -m tests.simulation --seed 7 --days 365``"""

import argparse
import os
import sys
import time
from dataclasses import fields
from datetime import UTC, datetime

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
DEFAULTS = {"seed": 1, "days": 365.0}


def main() -> int:
    import django

    django.setup()
    from tests.simulation.run import Plan, simulate

    parser = argparse.ArgumentParser(description="Simulate a site, and judge its ledger.")
    for field in fields(Plan):
        name = f"--{field.name.replace('_', '-')}"
        if field.type is bool:
            parser.add_argument(name, action="store_true")
        else:
            kind = _moment if field.type is datetime else field.type
            default = DEFAULTS.get(field.name, field.default)
            parser.add_argument(name, type=kind, default=default, metavar=field.name[0].upper())
    plan = Plan(**vars(parser.parse_args()))
    begun, used = time.perf_counter(), time.process_time()
    history = simulate(plan)
    took, used = time.perf_counter() - begun, time.process_time() - used
    print(f"{plan.days:g} days in {took:.1f} s ({used:.1f} s of CPU)")
    print(history.summary())
    for violation in history.violations:
        print(violation)
    print(f"{len(history.violations)} violations; again by: {plan.command}")
    return 1 if history.violations else 0


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
