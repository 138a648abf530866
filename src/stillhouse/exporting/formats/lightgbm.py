"""LightGBM's own model file: for students that are boosted trees, in any program that has LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import StillhouseError, UsageError
from stillhouse.exporting.formats.base import Exportable, Format, Made
from stillhouse.extras import library

CLOSE = 1e-4  # of answers, absolute and relative: sums of float32 against sums of float64
WRITER = "lightgbm_model"  # the method of a sum of trees, ``students.trees.TreeEnsemble``, that writes the file
Doubles = NDArray[np.float64]


def make(student: Exportable, metadata: Mapping[str, str]) -> Made:
    """The trees as LightGBM writes them; its answers to the example rows are compared with the student's.

    A row is the encoded inputs, flattened. Two classes are a model of two classes, not of one score; values are in the
    user's units.

    Raises:
        UsageError: the student is no sum of trees, or LightGBM is missing.
    """
    net: Any = student.net
    if not hasattr(net, WRITER):
        raise UsageError(
            'LightGBM\'s file holds trees, and this student is none. Use `[student] name = "lightgbm"` or '
            '"gradient_boosting", or the format "onnx".'
        )
    library("lightgbm", "The format lightgbm")
    scores = net(student.rows)
    named, answers = objective(student.graph.answers, scores)
    text: str = getattr(net, WRITER)(named, *units(student.graph.answers, scores, named))
    rows = student.rows.flatten(1).double().numpy()
    return Made(text.encode(), partial(_compare, rows, answers.double().numpy()))


def _compare(rows: Doubles, answers: Doubles, out: Path) -> None:
    import lightgbm

    found = np.asarray(lightgbm.Booster(model_file=str(out)).predict(rows))
    if not np.allclose(found.reshape(answers.shape), answers, rtol=CLOSE, atol=CLOSE):
        raise StillhouseError(f'{out} answers differently from the student. Use the format "onnx".')


def objective(graph: Any, scores: Tensor) -> tuple[str, Tensor]:
    """What LightGBM makes of raw scores (B, K), and the student's answers (B, K) in that form."""
    width = scores.shape[1]
    made = graph(scores)
    answers: Tensor = made[-1] if isinstance(made, tuple) else made
    if torch.allclose(answers, scores.softmax(-1), atol=1e-5):
        return f"multiclass num_class:{width}", answers
    if torch.allclose(answers, scores.sigmoid(), atol=1e-5):
        return f"multiclassova num_class:{width} sigmoid:1", answers
    return "regression", answers


def units(graph: Any, scores: Tensor, named: str) -> tuple[Doubles, Doubles]:
    """By what values are multiplied, then what is added (K,): those of a regression have units."""
    nought, one = torch.zeros_like(scores[:1]), torch.ones_like(scores[:1])
    if named == "regression":
        nought, one = graph(nought), graph(one)
    shift = nought[0].double().numpy()
    return one[0].double().numpy() - shift, shift


FORMAT = Format(".txt", "trees", make)
