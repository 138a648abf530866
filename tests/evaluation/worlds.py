"""Made-up runs of every task, and how they are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from stillhouse.evaluation import Predictions, score
from stillhouse.tasks import get

SAW: Mapping[str, Mapping[str, Any]] = {
    "teacher": {"labels": 4000, "unlabelled": 0, "teacher": None},
    "teacher_same": {"labels": 200, "unlabelled": 0, "teacher": None},
    "labels_only": {"labels": 200, "unlabelled": 0, "teacher": None},
    "distilled": {"labels": 200, "unlabelled": 3800, "teacher": "teacher"},
    "all_labels": {"labels": 4000, "unlabelled": 0, "teacher": None},
    "distilled_same": {"labels": 200, "unlabelled": 3800, "teacher": "teacher_same"},
}
COSTS = {"teacher": {"parameters": 400_000, "ms_1": 1.0, "ms_64": 9.0}, "student": {"parameters": 5000, "ms_1": 0.1}}
SKILLS = {
    "teacher": 4.0,
    "teacher_same": 2.0,
    "labels_only": 2.0,
    "distilled": 3.0,
    "all_labels": 3.0,
    "distilled_same": 2.0,
}


def _seeds(arm: str, seeds: int) -> list[str]:
    return ["-"] if arm.startswith("teacher") else [str(s) for s in range(seeds)]


def classifiers(rows: int = 300, classes: int = 3, seeds: int = 3, seed: int = 0, **skills: float) -> Predictions:
    """Nets of given skill that find the same rows hard."""
    rng = np.random.default_rng(seed)
    targets, difficulty = rng.integers(0, classes, rows), 2 * rng.normal(size=(rows, 1))

    def net(skill: float) -> NDArray[np.float32]:
        logits = rng.normal(size=(rows, classes)) + np.eye(classes)[targets] * (skill - difficulty)
        return log_softmax(2 * logits, axis=1).astype(np.float32)

    nets = {arm: {s: net(skill) for s in _seeds(arm, seeds)} for arm, skill in (skills or SKILLS).items()}
    names = ("cat", "dog", "<script>", *(f"c{i}" for i in range(classes)))[:classes]
    return Predictions.of_outputs(targets, np.arange(rows) + 1000, names, nets)


def regressors(
    rows: int = 300, names: tuple[str, ...] = ("price",), seeds: int = 3, seed: int = 0, **errors: float
) -> Predictions:
    """Nets that read a target with errors of a given size, half of them shared by the seeds of an arm."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** np.arange(len(names))
    targets = (rng.normal(size=(rows, len(names))) * 3 + 5) * size

    def nets(arm: str, error: float) -> dict[str, NDArray[np.float32]]:
        common = rng.normal(size=targets.shape)
        each = {s: common + rng.normal(size=targets.shape) for s in _seeds(arm, seeds)}
        return {s: (targets + error * size * noise / np.sqrt(2)).astype(np.float32) for s, noise in each.items()}

    arms = errors or {"teacher": 0.5, "labels_only": 2.0, "distilled": 1.0, "all_labels": 0.9}
    return Predictions.of_outputs(
        targets.astype(np.float32), np.arange(rows), names, {arm: nets(arm, error) for arm, error in arms.items()}
    )


def labellers(rows: int = 300, labels: int = 4, seeds: int = 3, seed: int = 0, **skills: float) -> Predictions:
    """Nets of given skill that say which of some labels, the later the rarer, a row has."""
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(rows, labels)) - np.linspace(0, 1.5, labels)
    targets = (true + 0.3 * rng.normal(size=true.shape) > 0).astype(np.float32)

    def net(skill: float) -> NDArray[np.float32]:
        return (2 * (true + rng.normal(size=true.shape) / skill)).astype(np.float32)

    arms = skills or {"teacher": 4.0, "labels_only": 0.7, "distilled": 2.0}
    nets = {arm: {s: net(skill) for s in _seeds(arm, seeds)} for arm, skill in arms.items()}
    return Predictions.of_outputs(targets, np.arange(rows), tuple(f"l{i}" for i in range(labels)), nets)


def embedders(texts: int = 150, *, labelled: bool = True, seed: int = 0, **noise: float) -> Predictions:
    """Students that are the teacher with noise, on three clouds of texts."""
    rng = np.random.default_rng(seed)
    labels = np.arange(texts) % 3
    teacher = 1.5 * np.eye(3, 8)[labels] + 0.5 * rng.normal(size=(texts, 8))
    arms = noise or {"distilled": 0.1, "contrast": 1.5, "start": 3.0}
    nets = {
        arm: {str(s): (teacher + size * rng.normal(size=teacher.shape)).astype(np.float32) for s in range(3)}
        for arm, size in arms.items()
    }
    targets = labels if labelled else np.full(texts, -1)
    return Predictions.of_outputs(
        targets, np.arange(texts), ("a", "b", "c"), nets | {"teacher": {"-": teacher.astype(np.float32)}}
    )


WORLDS: Mapping[str, Callable[[], Predictions]] = {
    "classification": classifiers,
    "regression": regressors,
    "multilabel": labellers,
    "embedding": embedders,
}


def judged(task: str, predictions: Predictions, **more: Any) -> dict[str, Any]:
    """The scores of a made-up run."""
    given: dict[str, Any] = {
        "saw": SAW,
        "budget": {"steps": 1000, "batch_size": 128, "views": 8},
        "costs": COSTS,
        "versions": {"torch": "2"},
        "hashes": {"data": "ab"},
        "resamples": 500,
    }
    return score(get(task), predictions, **(given | more))
