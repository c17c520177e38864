"""``python -m tests.simulation.alerts --seed 7 --occurrences 100000``"""

import argparse
import os
import sys
import time
from dataclasses import fields

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
# The workers move in the thread of the world. On a server, they could wait there for a lock that a
# frozen heartbeat holds, and nothing would ever move again.
os.environ.pop("DATABASE_URL", None)


def main() -> int:
    import django

    django.setup()
    from tests.simulation.alerts.run import Plan, simulate

    parser = argparse.ArgumentParser(description="Inject problems, and judge the alerts.")
    for field in fields(Plan):
        parser.add_argument(f"--{field.name}", type=field.type, default=field.default)
    parser.add_argument("--seconds", type=float, help="begin no problem after so many seconds")
    given = vars(parser.parse_args())
    seconds = given.pop("seconds")
    plan = Plan(**given)
    begun, used = time.perf_counter(), time.process_time()

    def is_enough(site) -> bool:
        passed = time.perf_counter() - begun
        so_far = f"{site.fleet.number} runs, {len(site.injections.all)} problems"
        print(f"{site.world.now:%d. %H:%M} {so_far}, {passed:.0f} s", flush=True)
        return seconds is not None and passed > seconds

    site, verdict = simulate(plan, is_enough=is_enough)
    took, used = time.perf_counter() - begun, time.process_time() - used
    print(f"{site.fleet.number} runs in {took:.0f} s ({used:.0f} s of CPU)")
    print("harm:", ", ".join(f"{n} {what}" for what, n in sorted(site.history.counts.items())))
    print(*verdict.lines(), sep="\n")
    print(*verdict.violations, sep="\n")
    print(f"{len(verdict.violations)} violations; again by: {plan.command}")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
