"""Puts the verdict so that a stranger understands it."""

import os
from collections import Counter

from tests.chaos import disturbances
from tests.chaos.evidence import Evidence
from tests.chaos.moments import clock_time
from tests.chaos.proof import Options, Proof
from tests.chaos.verdict import Flaw, Verdict

EXAMPLES = 6
MILLISECOND = 0.001


def show(options: Options, proof: Proof, verdict: Verdict) -> None:
    evidence = proof.evidence
    print()
    seconds = evidence.horizon[1] - evidence.horizon[0]
    print(
        f"CHAOS: {len(evidence.subjects)} tasks for {seconds:.0f} s on {options.database}, "
        f"layer {options.layer}, nemesis {options.nemesis}, lease {evidence.lease:g} s, "
        f"seed {options.seed}"
    )
    _show_what_was_done(proof)
    _show_what_came_of_it(evidence, verdict)
    _show_figures(evidence, verdict)
    _show_flaws(verdict)
    if verdict.zombies:
        print(
            f"\nNo flaw: {len(verdict.zombies)} overlaps with zombies (see the manual), such as\n"
            f"  {verdict.zombies[0]}"
        )
    if proof.complaints:
        print(f"\nTo be looked at: {len(proof.complaints)} complaints in the logs, such as")
        for line in list(dict.fromkeys(proof.complaints))[:3]:
            print(f"  {line:.160}")
    print()
    if verdict.is_ok:
        print("OK: nothing missing, nothing doubled, nothing at a time that must not be.")
        return
    print("NOT OK. The logs, one for each process, and what each function wrote down:")
    print(f"  {options.folder}")
    print("Again:")
    print(
        f"  make chaos SECONDS={options.seconds:g} SEED={options.seed} DB={options.database} "
        f"LAYER={options.layer} NEMESIS={options.nemesis} TASKS={options.tasks}"
    )


def _show_what_was_done(proof: Proof) -> None:
    deeds = _counts(proof.deeds) if proof.deeds else "nothing"
    print(f"Broken on purpose: {deeds}.")
    print(
        f"The users did {proof.user_acts.total()} things: {_counts(proof.user_acts)}; "
        f"{proof.aimed} edits just before a due moment. "
        f"They withdrew {len(proof.evidence.withdrawn)} runs that were planned ahead."
    )
    _show_drops(proof)


def _show_drops(proof: Proof) -> None:
    if proof.orders:
        done = Counter(f"{drop.when} {drop.kind}" for drop in proof.drops)
        missed = proof.orders - Counter(drop.kind for drop in proof.drops)
        print(
            f"Connections dropped at a statement: {_counts(done)}. "
            f"Not dropped, since the process did not come to one: {_counts(missed)}."
        )
    if proof.snapshots:
        lengths = ", ".join(f"{end - start:.0f} s" for start, end in proof.snapshots)
        print(f"A snapshot was held by another connection for {lengths}.")


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _show_what_came_of_it(evidence: Evidence, verdict: Verdict) -> None:
    seconds = evidence.horizon[1] - evidence.horizon[0]
    states = Counter(row.state for row in evidence.rows)
    cut_off = sum(execution.end is None for execution in evidence.executions)
    print(
        f"Executions: {len(evidence.executions)} ({len(evidence.executions) / seconds:.0f} a "
        f"second), of which {cut_off} were cut off."
    )
    print(f"Rows: {len(evidence.rows)}: {_words(states)}.")
    print(f"Had to be accounted for: {verdict.expected}; they are: {_words(verdict.explained)}.")


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"


def _show_figures(evidence: Evidence, verdict: Verdict) -> None:
    broken = disturbances.covered(evidence.disturbances)
    late = verdict.lateness
    print(
        f"Lateness outside of outages ({broken:.0f} s of them, with recovery): "
        + (
            f"p50 {quantile(late, 0.5):.3f} s, p99 {quantile(late, 0.99):.3f} s, "
            f"max {max(late):.3f} s of {len(late)} starts."
            if late
            else "no starts."
        )
    )
    if verdict.uncertainty:
        surely = sum(each <= MILLISECOND for each in verdict.uncertainty)
        print(
            f"The database's clock at {len(verdict.uncertainty)} calls is known to within: "
            f"p50 {quantile(verdict.uncertainty, 0.5) * 1000:.3f} ms, "
            f"max {max(verdict.uncertainty) * 1000:.3f} ms; a millisecond for {surely} of them."
        )
    print(f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")
    limit = evidence.lease + 15
    undisturbed = [
        rescue.seconds
        for rescue in evidence.rescues
        if evidence.disturbance((rescue.killed, rescue.killed + rescue.seconds)) is None
    ]
    for name, seconds in (
        ("undisturbed", undisturbed),
        ("all", [rescue.seconds for rescue in evidence.rescues]),
    ):
        if seconds:
            print(
                f"From the KILL of a worker until its runs are queued or run again ({name}): "
                f"p50 {quantile(seconds, 0.5):.1f} s, max {max(seconds):.1f} s of {len(seconds)}; "
                f"limit {limit:g} s."
            )


def _show_flaws(verdict: Verdict) -> None:
    print("\n  count  what must not be\n  -----  " + "-" * 72)
    for flaw in Flaw:
        print(f"  {verdict.count(flaw):5}  {flaw.value}")
    for flaw in Flaw:
        found = [finding for finding in verdict.findings if finding.flaw is flaw]
        if found:
            print(f"\n{flaw.value}")
        for finding in found[:EXAMPLES]:
            print(f"  {finding}")
        if len(found) > EXAMPLES:
            print(f"  … and {len(found) - EXAMPLES} more")


def show_disturbances(evidence: Evidence) -> None:
    for each in evidence.disturbances:
        print(f"  {clock_time(each.span[0])} to {clock_time(each.span[1])}  {each.what}")


def quantile(values: list[float], fraction: float) -> float:
    return sorted(values)[min(len(values) - 1, int(fraction * len(values)))]
