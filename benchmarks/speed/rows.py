"""A table of 20 columns from 10^4 to 10^6 rows, by commands: seconds of the processor, and memory beside the plan's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from benchmarks.speed.commands import Command, command
from benchmarks.speed.loops import scratch
from benchmarks.speed.timing import Row

COLUMNS = 20
FLAGS = (
    "--data.target kind --data.labels 1000 --student.name mlp_tiny --teacher.name mlp_tiny --teacher.labels all "
    "--teacher.training.steps 40 --training.steps 20 --training.seeds 0 --training.workers 1 --views.policy none "
    "--evaluation.resamples 200 --controls.no-self-trained --controls.no-simple"
)
CLOSE = 0.2  # of the memory that a plan says


def many_rows(quick: bool) -> list[Row]:
    """Whether a row costs the same among many rows, and whether a plan knows the memory."""
    sizes = (2_000, 20_000, 100_000) if quick else (10_000, 100_000, 1_000_000)
    with scratch() as folder:
        found = [measured(size, folder / str(size)) for size in sizes]
    sized = " / ".join(f"{n:,}" for n in sizes)
    made = []
    for name in ("distill", "predict"):
        seconds = [one[name]["seconds"] for one in found]
        slopes = [(b - a) / (m - n) for (n, m), (a, b) in zip(pairwise(sizes), pairwise(seconds), strict=True)]
        bend = slopes[1] / slopes[0]
        made.append(
            Row(
                f"{name}, seconds a row of {COLUMNS} columns, {sizes[1]:,} to {sizes[2]:,} rows / {sizes[0]:,} to "
                f"{sizes[1]:,}",
                "<= 1.10, linear or cheaper",
                bend,
                bend <= 1.1,
                note=f"{sized} rows: {' / '.join(f'{s:.1f}' for s in seconds)} s of the processor",
            )
        )
    told, used = ([one[name]["memory"] / 2**20 for one in found] for name in ("plan", "distill"))
    shares = [a / b for a, b in zip(told, used, strict=True)]
    worst = max(shares, key=lambda share: abs(share - 1))
    said = "; ".join(f"{a:,.0f} said, {b:,.0f} used" for a, b in zip(told, used, strict=True))
    made.append(
        Row(
            f"resident memory of distill, as plan says it / as it is, worst of {sized} rows",
            "within 20 %",
            worst,
            all(abs(share - 1) <= CLOSE for share in shares),
            note=f"{sized} rows, MiB: {said}",
        )
    )
    return made


def measured(size: int, folder: Path) -> dict[str, dict[str, float]]:
    """Seconds of the processor and bytes of each command on a table of so many rows; of ``plan`` what it says."""
    folder.mkdir(parents=True)
    table, run = folder / "rows.csv", folder / "run"
    write(table, size)
    flags = [*FLAGS.split(), "--data.path", str(table), "--output.dir", str(run)]
    said = json.loads(done(["plan", *flags, "--json"]).out)
    found = {"plan": {"memory": float(said["memory"]), "seconds": 0.0}}
    for name, arguments in (
        ("distill", [*flags, "--accept-teacher"]),
        ("predict", [str(run), str(table), "-o", str(folder / "answers.csv")]),
    ):
        told = done([name, *arguments])
        found[name] = {"seconds": told.seconds, "memory": told.memory}
    return found


def done(arguments: Sequence[str]) -> Command:
    """A command that must succeed."""
    found = command(arguments)
    if found.code:
        raise SystemExit(found.err)
    return found


def write(path: Path, size: int) -> None:
    """A table of normal numbers and a class that depends on them, a part at a time."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="ascii") as file:
        file.write(",".join([*(f"c{i}" for i in range(COLUMNS)), "kind"]) + "\n")
        for start in range(0, size, 10_000):
            x = draw.normal(size=(min(10_000, size - start), COLUMNS))
            kinds = np.where(x[:, 0] + 0.3 * x[:, 1] > 0, "yes", "no")
            form = ",".join(["%.4f"] * COLUMNS)
            file.writelines(f"{form % tuple(line)},{kind}\n" for line, kind in zip(x.tolist(), kinds, strict=True))
