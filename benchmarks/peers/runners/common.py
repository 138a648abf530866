"""What every peer does alike: read the world, fit, answer the test rows, count CPU-seconds and milliseconds."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
WORLD, TABLE, PICTURES, FACTS = "world.npz", "rows.csv", "pictures.npy", "facts.json"
SECONDS = 0.2  # of CPU for each time of a row
ROWS = 64


@dataclass(frozen=True)
class Model:
    """A fitted peer: ``predict`` takes raw rows (as the peer's own interface takes them) to probabilities (N, C)."""

    predict: Callable[[Any], Array]
    bytes: int


class World:
    """Rows, labels and the teacher's answers, as our side wrote them; there is no label of a test row in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with np.load(folder / WORLD) as file:
            found = {name: file[name] for name in file.files}
        self.classes: list[str] = found["classes"].tolist()
        self.train, self.valid, self.test = found["train"], found["valid"], found["test"]  # row numbers
        self.labels: Array = found["labels"]  # of the training rows; -1: none
        self.valid_labels: Array = found["valid_labels"]
        self.answers: Array = found["answers"]  # of the teacher to the training rows, probabilities (N, C)

    @cached_property
    def frame(self) -> Any:
        """The rows of a table or of texts, those of all parts."""
        import pandas as pd

        return pd.read_csv(self.folder / TABLE, keep_default_na="text" not in self.folder.name)

    @cached_property
    def pictures(self) -> Array:
        """Of all parts, uint8 (N, H, W)."""
        found: Array = np.load(self.folder / PICTURES)
        return found

    @property
    def labelled(self) -> Array:
        """Where in the training rows a label stands."""
        return np.flatnonzero(self.labels >= 0)

    def weighted(self, least: float = 0.01) -> tuple[Array, Array, Array]:
        """Soft answers for a learner of hard labels: positions in the training rows, classes, and weights.

        Each row counts once for each class of which the teacher is at least ``least`` sure. A labelled row's own
        label counts as much as the answer.
        """
        wanted = self.answers.copy()
        known = self.labelled
        wanted[known] = (wanted[known] + np.eye(len(self.classes))[self.labels[known]]) / 2
        rows, classes = np.nonzero(wanted >= least)
        return rows, classes, wanted[rows, classes]


Fit = Callable[[World, int], Model]


def cpu() -> float:
    """CPU-seconds of this process and of those that it has waited for."""
    spent = os.times()
    return time.process_time() + spent.children_user + spent.children_system


def milliseconds(predict: Callable[[Any], Any], rows: Any) -> float:
    """CPU milliseconds of a call: the median of as many as fit into ``SECONDS``, at least five."""
    predict(rows)
    found: list[float] = []
    while len(found) < 5 or (sum(found) < SECONDS and len(found) < 1000):
        begun = time.process_time()
        predict(rows)
        found.append(time.process_time() - begun)
    return 1000 * statistics.median(found)


def spread(known: Array, probabilities: Array, classes: int) -> Array:
    """The probabilities of some classes as those of all."""
    found = np.zeros((len(probabilities), classes))
    found[:, known] = probabilities
    return found


def run(fits: Mapping[str, tuple[Fit, int]], rows: Callable[[World, Array], Any], packages: tuple[str, ...]) -> None:
    """Fit each entry with its number of seeds, answer the test rows, and write both answers and facts.

    Args:
        fits: by the name of an entry: what fits it, and how many seeds (one where the seed changes nothing).
        rows: from a world and row numbers to rows as the models take them.
        packages: whose versions are noted.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("world", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    world = World(given.world)
    facts: dict[str, Any] = {"entries": {}, "versions": {name: version(name) for name in packages}}
    facts["started"] = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    given.out.mkdir(parents=True, exist_ok=True)
    test = rows(world, world.test)
    for name, (fit, seeds) in fits.items():
        answers, spent = [], []
        for seed in range(seeds):
            begun = cpu()
            model = fit(world, seed)
            spent.append(cpu() - begun)
            answers.append(np.asarray(model.predict(test), dtype=np.float32))
            print(f"{name}, seed {seed}: {spent[-1]:.1f} CPU-seconds", flush=True)
        times = {f"ms_{n}": milliseconds(model.predict, rows(world, world.test[:n])) for n in (1, ROWS)}
        facts["entries"][name] = {"cpu_seconds": spent, "bytes": model.bytes, **times}
        facts["ended"] = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
        np.savez_compressed(given.out / f"{name}.npz", answers=np.stack(answers))
        (given.out / FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
