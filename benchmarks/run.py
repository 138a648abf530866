"""Measure the speed of everything and write docs/benchmarks.md and docs/benchmarks.json.

python -m benchmarks.run                   all of it, about a quarter of an hour on an idle machine
python -m benchmarks.run --only steps      some of it anew; the rest of the page stays as it was measured
python -m benchmarks.run --quick           small numbers, printed and not written: does it run?
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported, here and in every child

import torch
from benchmarks.speed.causes import CAUSES
from benchmarks.speed.fidelity import gradients
from benchmarks.speed.gathers import gathers
from benchmarks.speed.language import language
from benchmarks.speed.page import facts, page
from benchmarks.speed.refusals import refusals
from benchmarks.speed.rows import many_rows
from benchmarks.speed.scale import scale
from benchmarks.speed.start import starts
from benchmarks.speed.timing import Row
from benchmarks.speed.training import epochs, steps, store
from benchmarks.speed.vocabulary import divergence

DOCS = Path(__file__).resolve().parents[1] / "docs"
GROUPS: dict[str, Callable[[bool], list[Row]]] = {
    "steps": steps,
    "epochs": epochs,
    "store": store,
    "gathers": gathers,
    "divergence": divergence,
    "gradients": gradients,
    "language": language,
    "scale": scale,
    "rows": many_rows,
    "refusals": refusals,
    "starts": starts,
}


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), default=list(GROUPS))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    file, groups = DOCS / "benchmarks.json", {}
    if file.exists() and set(given.only) != set(GROUPS):
        groups = json.loads(file.read_text(encoding="utf-8"))["groups"]
    for name in given.only:
        known, started, rows = facts(), time.monotonic(), []
        for row in GROUPS[name](given.quick):
            noise = "" if row.floor is None else f" (noise {100 * row.floor:.1f} %)"
            print(
                f"{'reached' if row.met else 'MISSED '} {row.what}: {row.shown()}, to reach {row.target}{noise}",
                flush=True,
            )
            if row.note:
                print(f"        {row.note}", flush=True)
            rows.append(row)
        known["minutes"] = (time.monotonic() - started) / 60
        groups[name] = {"facts": known, "rows": [asdict(row) for row in rows]}
        print(f"        {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if given.quick:
        return
    groups = {name: groups[name] for name in GROUPS if name in groups}  # one that is new was not measured yet
    file.write_text(json.dumps({"groups": groups}, indent=1) + "\n", encoding="utf-8")
    (DOCS / "benchmarks.md").write_text(page(groups, CAUSES), encoding="utf-8")


if __name__ == "__main__":
    main()
