"""Rows whose classes or values are known up to chance, and trees fitted to them."""

from typing import Any

import torch
from torch import Tensor

from stillhouse import students
from stillhouse.students.fitted_student import FittedTrees
from stillhouse.students.trees import TreeEnsemble
from stillhouse.task import Link

FEATURES, CLASSES = 5, 3
TREES = [name for name, kind in students.FITTED.items() if issubclass(kind, FittedTrees)]
Made = tuple[Tensor, Tensor, Tensor]  # inputs, the probabilities they were drawn from, the labels drawn


def made(rows: int, seed: int, *, step: float = 0.0, classes: int = CLASSES) -> Made:
    """Rows whose classes are known up to chance; values on a grid of ``step`` have many ties."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, FEATURES, generator=draw)
    if step:
        x = (x / step).round() * step
    way = torch.randn(FEATURES, classes, generator=torch.Generator().manual_seed(7))
    p = (1.5 * (x.sin() @ way)).softmax(-1)
    return x, p, torch.multinomial(p, 1, generator=draw)[:, 0]


def one_hot(labels: Tensor, classes: int = CLASSES) -> Tensor:
    return torch.nn.functional.one_hot(labels, classes).float()


def fit(
    name: str,
    x: Tensor,
    p: Tensor,
    *,
    weights: Tensor | None = None,
    seed: int = 0,
    link: Link = "softmax",
    **given: Any,
) -> TreeEnsemble:
    fitted = students.fit_soft(name, inputs=x, targets=p, weights=weights, settings=given, seed=seed, link=link)
    assert isinstance(fitted, TreeEnsemble)
    return fitted


def nll(tree: TreeEnsemble, x: Tensor, p: Tensor) -> float:
    """Mean cross-entropy with the true probabilities."""
    return float(-(p * tree(x).log_softmax(-1)).sum(1).mean())


def measured(rows: int, seed: int, targets: int = 2) -> tuple[Tensor, Tensor]:
    """Rows with real targets: smooth functions of the inputs and noise."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, FEATURES, generator=draw)
    way = torch.randn(FEATURES, targets, generator=torch.Generator().manual_seed(7))
    return x, x.sin() @ way + 0.1 * torch.randn(rows, targets, generator=draw)
