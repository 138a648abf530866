"""LightGBM's own model file: for students that are boosted trees, in any program that has LightGBM."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.errors import StillhouseError, UsageError
from stillhouse.exporting.formats.base import Exportable, Format, Made

CLOSE = 1e-4  # of answers, absolute and relative: sums of float32 against sums of float64
# Of a sum of trees, as ``students.trees.TreeEnsemble`` has them.
TABLES = ("feature", "threshold", "left", "right", "value", "roots", "base")
Doubles = NDArray[np.float64]


def make(student: Exportable, metadata: Mapping[str, str]) -> Made:
    """The trees as LightGBM writes them; its answers to the example rows are compared with the student's.

    A row is the encoded inputs, flattened. Two classes are a model of two classes, not of one score; values are in the
    user's units.

    Raises:
        UsageError: the student is no sum of trees, or LightGBM is missing.
    """
    net: Any = student.net
    if not all(hasattr(net, table) for table in TABLES):
        raise UsageError(
            'LightGBM\'s file holds trees, and this student is none. Use `[student] name = "lightgbm"` or '
            '"gradient_boosting", or the format "onnx".'
        )
    if find_spec("lightgbm") is None:
        raise UsageError("The format lightgbm needs LightGBM: `pip install 'stillhouse[trees]'`.")
    scores = net(student.rows)
    named, answers = objective(student.graph.answers, scores)
    text = text_of(net, named, *units(student.graph.answers, scores, named))
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


def text_of(net: Any, named: str, factor: Doubles, shift: Doubles) -> str:
    """The file: a header, then every tree; the base is part of the first round."""
    nodes = {name: getattr(net, name).cpu().numpy() for name in ("feature", "threshold", "left", "right", "value")}
    base, outputs = net.base.double().numpy() * factor + shift, net.outputs
    roots = net.roots.cpu().numpy()
    whole = nodes["value"].shape[1] == outputs and outputs > 1  # each tree holds all outputs: once for each
    pairs = [(root, k) for root in roots for k in range(outputs)] if whole else [(r, 0) for r in roots]
    trees = []
    for number, (root, column) in enumerate(pairs):
        output = number % outputs
        start = float(base[output]) if number < outputs else 0.0
        trees.append(f"Tree={number}\n{tree_of(nodes, int(root), column, float(factor[output]), start)}\n\n")
    columns = " ".join(f"Column_{i}" for i in range(net.inputs))
    head = {
        "version": "v4", "num_class": outputs, "num_tree_per_iteration": outputs, "label_index": 0,
        "max_feature_idx": net.inputs - 1, "objective": named, "feature_names": columns,
        "feature_infos": " ".join(["[-inf:inf]"] * net.inputs), "tree_sizes": " ".join(str(len(one)) for one in trees),
    }  # fmt: skip
    lines = "\n".join(f"{key}={value}" for key, value in head.items())
    return (
        f"tree\n{lines}\n\n{''.join(trees)}end of trees\n\nfeature_importances:\n\nparameters:\n\nend of parameters\n"
    )


def tree_of(nodes: Mapping[str, NDArray[Any]], root: int, column: int, factor: float, start: float) -> str:
    """One tree: inner nodes are numbered from 0, a leaf n is the child -n-1; a row goes left up to the threshold."""
    inner, leaves, waiting = [], [], [root]
    for node in waiting:  # grows
        if nodes["left"][node] == node:
            leaves.append(node)
        else:
            inner.append(node)
            waiting += [int(nodes["left"][node]), int(nodes["right"][node])]
    number = {node: i for i, node in enumerate(inner)} | {node: -i - 1 for i, node in enumerate(leaves)}
    values = [float(nodes["value"][node, column]) * factor + start for node in leaves]
    found: dict[str, list[Any]] = {"leaf_value": values}
    if inner:
        zeros, ones = [0] * len(inner), [1] * len(leaves)
        found = {
            "split_feature": [int(nodes["feature"][node]) for node in inner], "split_gain": zeros,
            "threshold": [float(nodes["threshold"][node]) for node in inner], "decision_type": zeros,
            "left_child": [number[int(nodes["left"][node])] for node in inner],
            "right_child": [number[int(nodes["right"][node])] for node in inner],
            "leaf_value": values, "leaf_weight": ones, "leaf_count": ones,
            "internal_value": zeros, "internal_weight": zeros, "internal_count": zeros,
        }  # fmt: skip
    lines = [f"num_leaves={len(leaves)}", "num_cat=0"]
    lines += [f"{key}={' '.join(map(repr, some))}" for key, some in found.items()]
    return "\n".join([*lines, "is_linear=0", "shrinkage=1"])


FORMAT = Format(".txt", "trees", make)
