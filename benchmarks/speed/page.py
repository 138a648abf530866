"""The page of the figures."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import Any

from benchmarks.speed.timing import Row

HEAD = """# Speed

Written by `make bench`, which takes about {minutes:.0f} minutes; the numbers with every round's seconds stand in
`benchmarks.json`. Each figure is a ratio of two things that ran side by side in this very run, in a new order each
round, on one thread: the median over rounds of the ratio within a round. *Noise* is the same code against itself in
the same rounds, so a figure within it of 1 is no difference. The machine: {machine}; {versions}. Load of the machine
when each group began, other work included: {loads}.

S is an MLP 10-64-2 with batch 32; M a small convolutional student on 28 x 28 pixels with batch 128, whose teacher does
about ten times its work; L a 4-layer transformer of width 256 on 128 tokens with batch 8, whose teacher has 8 layers of
width 512. The hand-written loop is the one that one writes for oneself: live teacher, fused AdamW, a schedule, rows
gathered by index, no log. torchdistill (1.1.5, from PyPI, in its own environment with this torch) runs its own box,
data loader and example loop on the same nets, rows and steps.

"""


def page(groups: dict[str, Any], causes: dict[str, str]) -> str:
    """The page: a table, what was missed and why, and the profiles that show it.

    Args:
        groups: by name, ``rows`` (fields of ``Row``) and ``facts`` of the run that measured them.
        causes: why a figure is missed, by how its name begins.
    """
    rows = [Row(**row) for group in groups.values() for row in group["rows"]]
    told = [group["facts"] for group in groups.values()]
    facts = told[-1] | {
        "minutes": sum(known["minutes"] for known in told),
        "loads": ", ".join(f"{name} {group['facts']['load']}" for name, group in groups.items()),
    }
    lines = ["| what | to reach | measured | noise | |", "|---|---|---|---|---|"]
    for row in rows:
        noise = "" if row.floor is None else f"{100 * row.floor:.1f} %"
        lines.append(
            f"| {row.what} | {row.target} | {row.shown()} | {noise} | {'reached' if row.met else '**missed**'} |"
        )
    text = HEAD.format(**facts) + "\n".join(lines) + "\n"
    notes = [f"* {row.what}: {row.note}." for row in rows if row.note]
    text += "\n## Beside the figures\n\n" + "\n".join(notes) + "\n" if notes else ""
    missed = [row for row in rows if not row.met]
    if missed:
        text += "\n## What was missed, and why\n"
    for row in missed:
        cause = next((why for name, why in causes.items() if row.what.startswith(name)), "")
        text += f"\n**{row.what}**: {row.shown()}, to reach {row.target}. {cause}\n"
        text += f"\n```\n{row.profile}\n```\n" if row.profile else ""
    return text


def facts() -> dict[str, Any]:
    """The machine and what computed the figures."""
    names = ("torch", "numpy", "stillhouse")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in names)]),
        "load": f"{os.getloadavg()[0]:.2f}",
    }
