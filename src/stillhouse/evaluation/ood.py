"""Whether a net detects rows of a kind that was not in training: its confidence should be lower there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data import Encoder
from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.robustness import Answers, Rows
from stillhouse.evaluation.text_corruption import Texts, shuffled_letters


def outsiders(rows: Rows, seed: int = 0) -> dict[str, Tensor | Texts]:
    """Rows unlike the training rows, made from the test rows, by name.

    Images: ``inverted`` (dark for bright) and ``shuffled pixels``; texts: ``shuffled letters``; all else: ``shuffled
    columns``, each column from another row, so that every value is usual but no row is.
    """
    rng = np.random.default_rng(seed)
    if rows.encoder.text is not None:
        return {"shuffled letters": np.array([shuffled_letters(text, rng) for text in rows.raw], object)}
    if not rows.image:
        return {"shuffled columns": _shuffled_columns(rows, rng)}
    planes = rows.inputs.flatten(-2)
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(planes.shape[-1]), (len(planes), 1)), axis=1))
    order = order.view(len(planes), *[1] * (planes.dim() - 2), -1).expand_as(planes)
    others = [axis for axis in range(rows.train.dim()) if axis != 1 or rows.train.dim() < 4]
    ends = rows.train.amin(others, keepdim=True) + rows.train.amax(others, keepdim=True)  # of each channel
    return {
        "inverted": ends - rows.inputs,
        "shuffled pixels": planes.gather(-1, order).view_as(rows.inputs),
    }


def _shuffled_columns(rows: Rows, rng: np.random.Generator) -> Tensor:
    flat = rows.inputs.flatten(1).clone()
    for columns in column_groups(rows.encoder):
        order = torch.from_numpy(rng.permutation(len(flat)))
        flat[:, columns] = flat[order][:, columns]
    return flat.view_as(rows.inputs)


def column_groups(encoder: Encoder) -> list[NDArray[np.int64]]:
    """The encoded columns that belong to each raw column, in order."""
    names = [column.name for column in encoder.columns()]
    begins = [i for i in range(1, len(names)) if names[i] != names[i - 1]]
    return np.split(np.arange(len(names)), begins)


def auroc(inside: Floats, outside: Floats) -> float:
    """Probability that a usual row has a higher confidence than an outsider; a tie counts half.

    >>> auroc(np.array([0.9, 0.8]), np.array([0.8, 0.1]))
    0.875
    """
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(inside, outside).statistic) / (len(inside) * len(outside))


def detection(rows: Rows, answers: Answers, outside: Mapping[str, Tensor | Texts]) -> list[dict[str, Any]]:
    """How well the confidence (largest probability) of each arm separates test rows from outsiders.

    After Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural
    Networks" (ICLR 2017).

    Returns:
        By kind of outsiders: ``outsiders``, ``auroc`` by arm: ``value`` (mean over the seeds) and ``seeds``.
    """
    usual = answers(rows.asked)
    found = []
    for name, inputs in outside.items():
        strange = answers(inputs)
        by_arm = {
            arm: [auroc(a.max(1), b.max(1)) for a, b in zip(nets, strange[arm], strict=True)]
            for arm, nets in usual.items()
        }
        found.append(
            {"outsiders": name, "auroc": {a: {"value": float(np.mean(v)), "seeds": v} for a, v in by_arm.items()}}
        )
    return found
