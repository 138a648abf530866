"""How the demo's settings were chosen: on validation rows split off its 4,000 training rows, never on test rows.

    python -m benchmarks.tune_demo [FOLDER]

Each setting trains the distilled student and its rivals on three seeds and prints their accuracy on the 800 validation
rows, so that the rivals' views and optimiser are chosen by the same rows as the student's. One setting is varied
at a time around the demo's own. No test row is read by a net: the judgement is never called.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from stillhouse.pipeline.distill import Distillation
from stillhouse.recipe import merge, parse, read_table

DEMO = Path(str(files("stillhouse") / "demo.toml"))
SEEDS = [0, 1, 2]
VARIATIONS: list[dict[str, Any]] = [
    {},
    {"method": [{"name": "hinton", "weight": 0.9, "temperature": 1.0}]},
    {"method": [{"name": "hinton", "weight": 0.9, "temperature": 2.0}]},
    {"method": [{"name": "hinton", "weight": 0.9, "temperature": 8.0}]},
    {"training": {"label_weight": 0.0}},
    {"training": {"label_weight": 0.5}},
    {"training": {"lr": 5e-3}},
    {"training": {"lr": 1e-2}},
    {"training": {"lr": 4e-2}},
    {"training": {"steps": 400}},
    {"training": {"steps": 1000}},
    {"views": {"count": 4}},
    {"views": {"count": 16}},
    {"views": {"strength": 0.6}},
    {"views": {"policy": "shift", "strength": 2}},
]


def accuracy(folder: Path, arm: str) -> list[float]:
    """The last validation accuracy of each seed."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = {line["seed"]: line["valid_accuracy"] for line in lines if line["arm"] == arm}
    return [last[seed] for seed in SEEDS]


def try_setting(over: dict[str, Any], folder: Path, teacher: Path | None) -> Path:
    """Train the arms with one setting; returns the teacher's weights for the next."""
    off = {"same_teacher": False, "all_labels": False, "simple": False}
    table = merge(read_table(DEMO), {"data": {"valid": 0.2}, "controls": off})
    table = merge(table, {"training": {"seeds": SEEDS, "log_every": 500}, "output": {"dir": str(folder)}})
    if teacher is not None:
        table = merge(table, {"teacher": {"file": str(teacher)}})
    recipe = parse(merge(table, over))
    run = Distillation(recipe, command="benchmarks.tune_demo")
    run.plan_fits()
    run.train()
    found = {arm: accuracy(folder, arm) for arm in ("labels_only", "self_trained", "distilled")}
    means = "  ".join(f"{arm} {sum(values) / len(values):.4f}" for arm, values in found.items())
    print(f"{json.dumps(over) if over else 'the demo as it is':<72} {means}", flush=True)
    return teacher or folder / "teacher" / "model.safetensors"


def main() -> None:
    """Print a line for each setting."""
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    teacher = None
    for number, over in enumerate(VARIATIONS):
        teacher = try_setting(over, base / str(number), teacher)


if __name__ == "__main__":
    main()
