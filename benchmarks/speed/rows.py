"""A table of 20 columns from 10^4 to 10^6 rows, by commands: seconds of the processor, and memory beside the plan's."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
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
    for command in ("distill", "predict"):
        seconds = [one[command]["seconds"] for one in found]
        slopes = [(b - a) / (m - n) for (n, m), (a, b) in zip(pairwise(sizes), pairwise(seconds), strict=True)]
        bend = slopes[1] / slopes[0]
        made.append(
            Row(
                f"{command}, seconds a row of {COLUMNS} columns, {sizes[1]:,} to {sizes[2]:,} rows / {sizes[0]:,} to "
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
    said = json.loads(command(["plan", *flags, "--json"])["out"])
    found = {"plan": {"memory": float(said["memory"]), "seconds": 0.0}}
    for name, arguments in (
        ("distill", [*flags, "--accept-teacher"]),
        ("predict", [str(run), str(table), "-o", str(folder / "answers.csv")]),
    ):
        told = command([name, *arguments])
        found[name] = {"seconds": told["seconds"], "memory": told["memory"]}
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


def command(arguments: Sequence[str]) -> dict[str, Any]:
    """Run a command in a process of its own: its output, its seconds of the processor, and its largest memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.rows", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    out, _, last = done.stdout.rstrip("\n").rpartition("\n")
    found: dict[str, Any] = {"out": out} | json.loads(last)
    return found


def main(arguments: Sequence[str]) -> int:
    """The command in this process; behind its output one line of what it took."""
    from stillhouse.cli import main as stillhouse

    code = stillhouse(list(arguments))
    used, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = sum(one.ru_utime + one.ru_stime for one in (used, children))
    print("\n" + json.dumps({"seconds": seconds, "memory": 1024 * max(used.ru_maxrss, children.ru_maxrss)}))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
