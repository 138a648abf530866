"""Real runs to report on: nets trained here on scikit-learn's sets, judged by the real evaluation."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, nll_loss

from stillhouse import reporting, tasks
from stillhouse.evaluation import Predictions, measure_costs, score
from stillhouse.recipe import Recipe, parse

STEPS, BATCH, TEMPERATURE = 120, 64, 2.0
CLASSIFICATION = tasks.get("classification")


class Split(NamedTuple):
    """Encoded rows for training, validation and test, and what the test rows look like to a user."""

    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    raw_test: np.ndarray
    rows_test: np.ndarray
    classes: tuple[str, ...]
    columns: tuple[str, ...]


class Fit(NamedTuple):
    """A trained net's answers, and the lines that it logged."""

    net: nn.Module
    test: np.ndarray
    valid: np.ndarray
    lines: list[dict[str, Any]]


def split(name: str) -> Split:
    """Divide digits (images) or breast_cancer (a table) into 60, 15 and 25 per cent."""
    bunch = load_digits() if name == "digits" else load_breast_cancer()
    raw = bunch.images if name == "digits" else bunch.data
    encoded = (bunch.data - bunch.data.mean(0)) / (bunch.data.std(0) + 1e-6)
    rows = np.arange(len(raw))
    rest, test = train_test_split(rows, test_size=0.25, random_state=0, stratify=bunch.target)
    train, valid = train_test_split(rest, test_size=0.2, random_state=0, stratify=bunch.target[rest])

    def take(part: np.ndarray) -> tuple[Tensor, Tensor]:
        return torch.tensor(encoded[part], dtype=torch.float32), torch.tensor(bunch.target[part])

    classes = tuple(str(c) for c in bunch.target_names)
    columns = tuple(str(c) for c in bunch.feature_names) if name != "digits" else ()
    return Split(take(train), take(valid), take(test), raw[test], test, classes, columns)


def log_probabilities(model: ExtraTreesClassifier, inputs: Tensor) -> np.ndarray:
    """Answers of a forest, with a floor under probabilities of zero."""
    p = np.maximum(model.predict_proba(inputs.numpy()), 1e-4)
    answers: np.ndarray = np.log(p / p.sum(1, keepdims=True)).astype(np.float32)
    return answers


def fit(data: Split, arm: str, seed: int, labelled: int, teacher: Tensor | None, width: int = 16) -> Fit:
    """Train one small student on the first ``labelled`` labels and, where there is one, on the teacher's answers."""
    torch.manual_seed(seed)
    inputs, targets = data.train
    net = nn.Sequential(nn.Linear(inputs.shape[1], width), nn.ReLU(), nn.Linear(width, len(data.classes)))
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(seed)
    lines = []
    for step in range(1, STEPS + 1):
        batch = torch.randint(len(inputs) if teacher is not None else labelled, (BATCH,), generator=generator)
        logits = net(inputs[batch])
        known = batch < labelled
        terms = {"labels": cross_entropy(logits[known], targets[batch][known]) if known.any() else logits.sum() * 0}
        if teacher is not None:
            p = log_softmax(teacher[batch] / TEMPERATURE, 1)
            q = log_softmax(logits / TEMPERATURE, 1)
            terms = {
                "labels": 0.1 * terms["labels"],
                "hinton": 0.9 * TEMPERATURE**2 * kl_div(q, p, log_target=True, reduction="batchmean"),
            }
        norms = {k: _norm(t, net) for k, t in terms.items()}
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if step % 20 == 0:
            shares = {k: n / max(sum(norms.values()), 1e-12) for k, n in norms.items()}
            valid = log_softmax(net(data.valid[0]), 1).detach()
            lines.append(
                {"arm": arm, "seed": seed, "step": step, "loss": float(loss.detach()), "lr": 0.01}
                | {"terms": {k: float(t.detach()) for k, t in terms.items()}, "shares": shares}
                | {"valid_accuracy": float((valid.argmax(1) == data.valid[1]).float().mean())}
                | {"valid_nll": float(nll_loss(valid, data.valid[1]))}
            )
    with torch.inference_mode():
        answers = [log_softmax(net(x), 1).numpy() for x in (data.test[0], data.valid[0])]
    return Fit(net.eval(), answers[0], answers[1], lines)


def _norm(term: Tensor, net: nn.Module) -> float:
    gradients = torch.autograd.grad(term, list(net.parameters()), retain_graph=True)
    return float(torch.stack([g.norm() for g in gradients]).norm())


def write(folder: Path) -> Path:
    """Write the report of a run of classifiers."""
    return reporting.write(folder, CLASSIFICATION)


def compare(folders: Sequence[Path], out: Path) -> Path:
    """Set runs of classifiers side by side."""
    return reporting.compare(folders, [CLASSIFICATION] * len(folders), out)


def make(folder: Path, name: str = "digits", labels: int = 60, seeds: Sequence[int] = (0, 1, 2)) -> Path:
    """Run the main job in small and leave its files in ``folder``: a run folder as the pipeline writes it."""
    data = split(name)
    inputs, targets = data.train
    forest = ExtraTreesClassifier(100, random_state=0, n_jobs=1).fit(inputs.numpy(), targets.numpy())
    answers = torch.tensor(log_probabilities(forest, inputs))
    arms = {"labels_only": (labels, None), "distilled": (labels, answers), "all_labels": (len(inputs), None)}
    fits = {arm: {str(s): fit(data, arm, s, n, t) for s in seeds} for arm, (n, t) in arms.items()}
    test = {"teacher": {"-": log_probabilities(forest, data.test[0])}} | _answers(fits, "test")
    predictions = Predictions.of_outputs(data.test[1].numpy(), data.rows_test, data.classes, test)
    known, rows = data.valid[1].numpy(), np.arange(len(data.valid[1]))
    valid = Predictions.of_outputs(known, rows, data.classes, _answers(fits, "valid"))
    folder.mkdir(parents=True, exist_ok=True)
    predictions.save(folder / "predictions.npz")
    costs = _costs(forest, fits["distilled"][str(seeds[0])].net, data.test[0])
    unlabelled = len(inputs) - labels
    saw: dict[str, dict[str, Any]] = {
        "teacher": {"labels": len(inputs), "unlabelled": 0, "teacher": None},
        "labels_only": {"labels": labels, "unlabelled": 0, "teacher": None},
        "distilled": {"labels": labels, "unlabelled": unlabelled, "teacher": "teacher"},
        "all_labels": {"labels": len(inputs), "unlabelled": 0, "teacher": None},
    }
    budget = {"steps": STEPS, "batch_size": BATCH, "views": 1}
    versions, hashes = {"torch": torch.__version__, "numpy": np.__version__}, {"data": "d1", "teacher": "t1"}
    facts: dict[str, Any] = {"saw": saw, "budget": budget, "costs": costs, "versions": versions, "hashes": hashes}
    scores = score(CLASSIFICATION, predictions, **facts, resamples=500, valid=valid)
    _write(folder, scores, costs, fits, recipe(name, labels, seeds), data)
    _gallery(folder, data, test["teacher"]["-"], test["distilled"][str(seeds[0])])
    return folder


def recipe(name: str, labels: int, seeds: Sequence[int]) -> Recipe:
    """The recipe that such a run has."""
    nets = {"teacher": {"name": "extra_trees"}, "student": {"name": "mlp_tiny"}}
    return parse({"data": {"name": name, "labels": labels}, "training": {"steps": STEPS, "seeds": list(seeds)}} | nets)


def _answers(fits: dict[str, dict[str, Fit]], part: str) -> dict[str, dict[str, np.ndarray]]:
    return {arm: {seed: getattr(f, part) for seed, f in by_seed.items()} for arm, by_seed in fits.items()}


def _costs(forest: ExtraTreesClassifier, net: nn.Module, inputs: Tensor) -> dict[str, Any]:
    student = measure_costs({"student": net}, inputs[:1], budget_seconds=0.05)["student"]
    nodes = sum(tree.tree_.node_count for tree in forest.estimators_)
    return {
        "student": student,
        "teacher": {"parameters": nodes, "clock": "wall"}
        | {f"ms_{n}": _milliseconds(forest, inputs[:n]) for n in (1, 64)},
    }


def _milliseconds(forest: ExtraTreesClassifier, inputs: Tensor) -> float:
    start = time.perf_counter()
    forest.predict_proba(inputs.numpy())
    return 1000 * (time.perf_counter() - start)


def _write(
    folder: Path,
    scores: dict[str, Any],
    costs: dict[str, Any],
    fits: dict[str, dict[str, Fit]],
    made: Recipe,
    data: Split,
) -> None:
    facts = {"name": made.data.name, "classes": list(data.classes), "test": len(data.rows_test)}
    run = {
        "version": 1,
        "digest": made.digest(),
        "command": f"stillhouse distill recipe.toml --output.dir {folder.name}",
        "started": "2026-11-30T08:15:00+0000",
        "data": facts,
        "versions": scores["versions"],
        "hashes": scores["hashes"],
        "saw": scores["saw"],
        "seconds": {"teacher": 1.5},
    }
    lines = [line for by_seed in fits.values() for f in by_seed.values() for line in f.lines]
    (folder / "scores.json").write_text(json.dumps(scores, allow_nan=False))
    (folder / "costs.json").write_text(json.dumps(costs))
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "recipe.toml").write_text(made.toml())


def _gallery(folder: Path, data: Split, teacher: np.ndarray, student: np.ndarray) -> None:
    distance = np.abs(np.exp(teacher) - np.exp(student)).sum(1)
    worst = np.argsort(-distance, kind="stable")[:8]
    arrays: dict[str, np.ndarray] = {"rows": data.rows_test[worst], "inputs": data.raw_test[worst]}
    if data.columns:
        arrays["columns"] = np.asarray(data.columns, dtype=np.str_)
    np.savez(folder / "gallery.npz", **arrays)  # type: ignore[arg-type]
