"""What keeps the students of the pages of texts from more: better teachers for the same students, judged on test rows.

    python -m benchmarks.examples.text_teachers newsgroups r8

Reads the finished runs of ``python -m benchmarks.examples newsgroups r8`` and prints a table for each. The student of
the page is fitted again to other answers: those of the page's teacher, those of that teacher joined with TF-IDF on the
same labels (which reads whole texts and answers labelled rows out of fold), and the true labels of all training rows.
The way of joining was chosen on validation rows.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from benchmarks.examples.example import ROOT
from benchmarks.examples.markdown import table
from benchmarks.examples.running import recipe_of, run_folder
from torch import Tensor

import stillhouse
from stillhouse import students
from stillhouse.data import TextEncoder
from stillhouse.recipe import Recipe, read
from stillhouse.store import Store
from stillhouse.teachers import fold_of
from stillhouse.teachers.crossfit import rows_seen

SHORT = 64  # tokens
FOLDS = 5
TEMPERATURES = np.arange(0.2, 2.0, 0.05)
PARTS = ("train", "valid", "test")


class World(NamedTuple):
    """A finished run: rows as the page's student reads them, labels, and the teacher's answers, by part."""

    recipe: Recipe
    encoder: TextEncoder
    texts: dict[str, list[str]]
    labels: dict[str, Tensor]  # (N,) int64
    answers: dict[str, Tensor]  # (N, C) log-probabilities of the page's teacher
    known: Tensor  # (n,) places in the training rows of those that keep their label

    def hot(self) -> Tensor:
        """The true labels of the training rows, (N, C)."""
        return torch.nn.functional.one_hot(self.labels["train"], self.answers["train"].shape[1]).double()


def world(name: str) -> World:
    """The run of a page."""
    recipe, folder = read(recipe_of(name)), run_folder(name)
    frame = pd.read_csv(str(recipe.data.text), keep_default_na=False)
    with np.load(folder / "split.npz") as file:
        split = {part: file[part] for part in (*PARTS, "labelled")}
    names = sorted(frame["label"].unique())
    numbers = np.array([names.index(label) for label in frame["label"]])
    (kept,) = (ROOT / str(recipe.store.dir)).iterdir()
    store = Store.open(kept)
    rows = np.arange(store.rows)
    (stored,) = store.read(rows, np.zeros_like(rows)).values()
    answers = {"train": torch.from_numpy(np.asarray(stored, np.float32)).log_softmax(1)}
    for part, file_name in (("valid", "predictions_valid.npz"), ("test", "predictions.npz")):
        with np.load(folder / file_name) as file:
            answers[part] = torch.from_numpy(file["teacher/-"]).float().log_softmax(1)
    return World(
        recipe,
        stillhouse.load(folder / "student").encoder.text,
        {part: frame["text"].iloc[split[part]].tolist() for part in PARTS},
        {part: torch.from_numpy(numbers[split[part]]) for part in PARTS},
        answers,
        torch.from_numpy(np.flatnonzero(np.isin(split["train"], split["labelled"]))),
    )


def fit(one: World, inputs: Tensor, targets: Tensor) -> Any:
    """The page's student, fitted to other answers."""
    settings = {"vocabulary": one.encoder.vocabulary} | dict(one.recipe.student.settings)
    name = str(one.recipe.student.name)
    return students.fit_soft(name, inputs=inputs, targets=targets, weights=None, settings=settings, seed=0)


@torch.no_grad()
def beside(one: World, ids: dict[str, Tensor]) -> dict[str, Tensor]:
    """Log-probabilities of the student's kind on the labels alone; labelled rows are answered out of fold."""
    shown = torch.full_like(one.labels["train"], -1)
    shown[one.known] = one.labels["train"][one.known]
    folds, hot = fold_of(shown.numpy(), FOLDS, 0, "tfidf_linear"), one.hot()
    whole = fit(one, ids["train"][one.known], hot[one.known])
    found = {part: whole(ids[part]).log_softmax(1) for part in PARTS}
    for number, rows in enumerate(rows_seen(folds)):
        left = torch.from_numpy(np.flatnonzero(folds == number))
        net = fit(one, ids["train"][rows], hot[rows])
        found["train"][left] = net(ids["train"][left]).log_softmax(1)
    return found


def mixed(one: World, answers: dict[str, Tensor]) -> Tensor:
    """What teaches: the answers at the temperature that validation rows ask for, with the labels that are known."""
    losses = [float(loss(answers["valid"] / t, one.labels["valid"])) for t in TEMPERATURES]
    soft = (answers["train"] / TEMPERATURES[int(np.argmin(losses))]).softmax(1).double()
    share = one.recipe.training.label_weight
    share = share / (share + one.recipe.method[0].weight)
    soft[one.known] = (1 - share) * soft[one.known] + share * one.hot()[one.known]
    return torch.as_tensor(soft)


def loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood."""
    return torch.nn.functional.cross_entropy(outputs, labels)


def right(outputs: Tensor, labels: Tensor) -> str:
    """Accuracy as it is written."""
    return f"{100 * float((outputs.argmax(1) == labels).double().mean()):.1f} %"


@torch.no_grad()
def rows_of(name: str) -> list[list[str]]:
    """The lines of a set's table."""
    one = world(name)
    short = TextEncoder.from_tokenizer(one.encoder.tokenizer_json, length=SHORT)
    ids = {part: one.encoder.encode(one.texts[part]) for part in PARTS}
    cut = {part: short.encode(one.texts[part]) for part in PARTS}
    words = beside(one, ids)
    joined = {part: ((one.answers[part] + words[part]) / 2).log_softmax(1) for part in PARTS}
    taught = {
        "the page's, which reads 64 tokens": (one.answers, mixed(one, one.answers)),
        "it and TF-IDF of whole texts on the same labels": (joined, mixed(one, joined)),
        "the true labels of all training rows": (None, one.hot()),
    }
    lines = []
    for title, (answers, soft) in taught.items():
        own = ["–", "–"] if answers is None else [right(answers[p], one.labels[p]) for p in ("valid", "test")]
        nets = [(fit(one, read["train"], soft), read) for read in (ids, cut)]
        shown = [right(net(read[p]), one.labels[p]) for net, read in nets for p in ("valid", "test")]
        lines.append([title, *own, *shown])
    return lines


def main() -> None:
    """Print a table for each page that is named."""
    heads = ["The teacher", "validation", "test", "whole, validation", "whole, test", "64 tokens, validation"]
    for name in sys.argv[1:]:
        print(f"{name}\n\n{table([*heads, '64 tokens, test'], rows_of(name))}\n", flush=True)


if __name__ == "__main__":
    main()
