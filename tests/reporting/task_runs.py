"""Runs of regressions, of several labels a row, and of embedders: judged by the real evaluation, one folder each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from stillhouse import tasks
from stillhouse.evaluation import Predictions, score

Outputs = dict[str, dict[str, np.ndarray]]
SEEDS = ("0", "1", "2")


def leave(folder: Path, task: str, test: Predictions, valid: Predictions | None, saw: Mapping[str, Any]) -> Path:
    """Judge predictions and leave the files of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    costs = {
        name: {"parameters": size, "ms_1": ms, "ms_64": 9 * ms, "clock": "core"}
        for name, size, ms in (("teacher", 120_000, 4.2), ("student", 900, 0.06))
    }
    versions, hashes = {"numpy": np.__version__}, {"data": "d1"}
    facts: dict[str, Any] = {"saw": saw, "costs": costs, "versions": versions, "hashes": hashes}
    budget = {"steps": 100, "batch_size": 32, "views": 1}
    scores = score(tasks.get(task), test, **facts, budget=budget, resamples=300, valid=valid)
    test.save(folder / "predictions.npz")
    (folder / "scores.json").write_text(json.dumps(scores, allow_nan=False))
    (folder / "costs.json").write_text(json.dumps(costs))
    run = {"version": 1, "data": {"name": folder.name}, "started": "2026-11-30T08:15:00+0000", "command": "stillhouse"}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "recipe.toml").write_text(
        f'[task]\nname = "{task}"\n[teacher]\nname = "forest"\n[student]\nname = "net"\n'
    )
    return folder


def gallery(folder: Path, rows: np.ndarray, inputs: np.ndarray, columns: Sequence[str] = ()) -> None:
    """Leave the rows that a reader is to look at."""
    named = {"columns": np.array(columns)} if columns else {}
    np.savez(folder / "gallery.npz", rows=rows, inputs=inputs, **named)  # type: ignore[arg-type]


def seen(teacher: int, student: int, pool: int, control: str = "labels_only") -> dict[str, Any]:
    """What each side was allowed to see."""
    return {
        "teacher": {"labels": teacher, "unlabelled": 0, "teacher": None},
        control: {"labels": student, "unlabelled": 0, "teacher": None},
        "distilled": {"labels": student, "unlabelled": pool, "teacher": "teacher"},
    }


def regression(folder: Path, targets: int = 1) -> Path:
    """Diabetes: a forest and ridge students of 40 labels, in the units of the disease's progression."""
    bunch = load_diabetes()
    y = np.stack([bunch.target * (1, 1e-3)[k] + 40 * k * bunch.data[:, 2] for k in range(targets)], axis=1)
    names = ("progression", "thickness")[:targets]
    parts = {"valid": np.arange(200, 300), "test": np.arange(300, 442)}
    forest = RandomForestRegressor(60, random_state=0, n_jobs=1).fit(bunch.data[:200], y[:200].squeeze())
    taught = forest.predict(bunch.data[:200]).reshape(-1, targets)

    def of(part: str) -> Outputs:
        x = bunch.data[parts[part]]
        found: Outputs = {"teacher": {"-": forest.predict(x)}, "labels_only": {}, "distilled": {}}
        for seed in SEEDS:
            chosen = np.random.default_rng(int(seed)).permutation(200)[:40]
            found["labels_only"][seed] = Ridge(0.01).fit(bunch.data[chosen], y[chosen]).predict(x)
            drawn = np.random.default_rng(9 + int(seed)).permutation(200)[:180]
            found["distilled"][seed] = Ridge(0.01).fit(bunch.data[drawn], taught[drawn]).predict(x)
        return {a: {s: v.reshape(-1, targets).astype(np.float32) for s, v in o.items()} for a, o in found.items()}

    test, valid = (Predictions.of_outputs(y[rows].astype(np.float32), rows, names, of(part))
                   for part, rows in (("test", parts["test"]), ("valid", parts["valid"])))  # fmt: skip
    leave(folder, "regression", test, valid, seen(200, 40, 160))
    gallery(folder, parts["test"][:6], bunch.data[parts["test"][:6]], bunch.feature_names)
    return folder


def multilabel(folder: Path) -> Path:
    """Six labels a row, made up: a forest each, and logistic students of 80 labels."""
    x, y = make_multilabel_classification(600, 12, n_classes=6, n_labels=2, random_state=0)
    names = tuple(f"topic {i}" for i in range(6))
    rows = np.arange(400, 600)
    forests = [RandomForestClassifier(40, random_state=0, n_jobs=1).fit(x[:400], y[:400, k]) for k in range(6)]
    soft = np.stack([f.predict_proba(x)[:, 1] for f in forests], axis=1)

    def student(labels: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        nets = [LogisticRegression(max_iter=500).fit(x[chosen], labels[chosen, k]) for k in range(6)]
        return np.stack([net.decision_function(x[rows]) for net in nets], axis=1).astype(np.float32)

    clipped = np.clip(soft, 0.01, 0.99)
    outputs: Outputs = {"teacher": {"-": np.log(clipped / (1 - clipped))[rows].astype(np.float32)}}
    outputs |= {"labels_only": {}, "distilled": {}}
    for seed in SEEDS:
        order = np.random.default_rng(int(seed)).permutation(400)
        outputs["labels_only"][seed] = student(y, order[:80])
        outputs["distilled"][seed] = student((soft > 0.5).astype(int), order[:380])
    test = Predictions.of_outputs(y[rows].astype(np.float32), rows, names, outputs)
    leave(folder, "multilabel", test, None, seen(400, 80, 320))
    gallery(folder, rows[:5], x[rows[:5]], [f"word {i}" for i in range(12)])
    return folder


def embedding(folder: Path) -> Path:
    """Vectors of 120 texts in four categories: a teacher and students that see it more or less blurred."""
    draw = np.random.default_rng(0)
    kinds = np.arange(120) % 4
    teacher = draw.normal(size=(4, 16))[kinds] + 0.6 * draw.normal(size=(120, 16))
    squeezed = teacher @ draw.normal(size=(16, 8))
    outputs: Outputs = {"teacher": {"-": teacher.astype(np.float32)}}
    for arm, noise in (("contrast", 3.0), ("distilled", 0.6), ("start", 9.0)):
        outputs[arm] = {s: (squeezed + noise * draw.normal(size=squeezed.shape)).astype(np.float32) for s in SEEDS}
    rows = np.arange(120)
    test = Predictions.of_outputs(kinds.astype(np.int64), rows, ("oak", "rye", "peat", "malt"), outputs)
    leave(folder, "embedding", test, None, seen(0, 0, 900, "contrast"))
    texts = np.array([f"a text about cask number {i} <b>" for i in range(5)])
    gallery(folder, rows[:5], texts)
    return folder
