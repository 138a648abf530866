"""Our tables of nodes as the text of LightGBM's model file: to ship them, and to walk them by the library itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Tables = Mapping[str, NDArray[Any]]  # feature, threshold, left, right and value, by node


def whole_model(tables: Tables, roots: Sequence[int], inputs: int, named: str, factor: Doubles, base: Doubles) -> str:
    """The file of a sum of trees with K outputs; the base is part of the first round.

    Args:
        tables: of the nodes.
        roots: where W is 1, tree t is of output t modulo K; else each tree holds all outputs.
        inputs: values of a row.
        named: the objective, in the library's words.
        factor: (K,) by which the values of leaves are multiplied.
        base: (K,) the outputs before any tree.
    """
    outputs = len(base)
    whole = tables["value"].shape[1] == outputs and outputs > 1  # each tree holds all outputs: once for each
    pairs = [(root, k) for root in roots for k in range(outputs)] if whole else [(r, 0) for r in roots]
    trees = []
    for number, (root, column) in enumerate(pairs):
        output = number % outputs
        start = float(base[output]) if number < outputs else 0.0
        text, leaves = tree(tables, root)
        values = [float(tables["value"][node, column]) * float(factor[output]) + start for node in leaves]
        trees.append(f"Tree={number}\n{text}leaf_value={' '.join(map(repr, values))}\n\n\n")
    return model(trees, inputs, outputs, named, {"tree_sizes": " ".join(str(len(one)) for one in trees)})


def bare_model(tables: Tables, roots: Sequence[int], inputs: int) -> tuple[str, list[list[int]]]:
    """A model that knows the tests alone, for the numbers of leaves; and the node of each leaf of each tree.

    Without the sizes of the trees the library reads them in one thread, which a process that is forked later needs.
    """
    found = [tree(tables, root) for root in roots]
    trees = [
        f"Tree={number}\n{text}leaf_value={' '.join(['0'] * len(leaves))}\n\n\n"
        for number, (text, leaves) in enumerate(found)
    ]
    return model(trees, inputs, 1, "regression", {}), [leaves for _, leaves in found]


def model(trees: Sequence[str], inputs: int, outputs: int, named: str, more: Mapping[str, str]) -> str:
    """A header, then every tree."""
    head = {
        "version": "v4", "num_class": outputs, "num_tree_per_iteration": outputs, "label_index": 0,
        "max_feature_idx": inputs - 1, "objective": named,
        "feature_names": " ".join(f"Column_{i}" for i in range(inputs)),
        "feature_infos": " ".join(["[-inf:inf]"] * inputs), **more,
    }  # fmt: skip
    lines = "\n".join(f"{key}={value}" for key, value in head.items())
    return (
        f"tree\n{lines}\n\n{''.join(trees)}end of trees\n\nfeature_importances:\n\nparameters:\n\nend of parameters\n"
    )


def tree(tables: Tables, root: int) -> tuple[str, list[int]]:
    """One tree without the values of its leaves, and their nodes; a row goes left up to the threshold.

    Inner nodes are numbered from 0, and leaf n is the child -n-1.
    """
    left, right = tables["left"], tables["right"]
    inner, leaves, waiting = list[int](), list[int](), [root]
    for node in waiting:  # grows
        if left[node] == node:
            leaves.append(node)
        else:
            inner.append(node)
            waiting += [int(left[node]), int(right[node])]
    number = {node: i for i, node in enumerate(inner)} | {node: -i - 1 for i, node in enumerate(leaves)}
    found: dict[str, list[Any]] = {}
    if inner:
        zeros, ones = [0] * len(inner), [1] * len(leaves)
        found = {
            "split_feature": [int(tables["feature"][node]) for node in inner], "split_gain": zeros,
            "threshold": [float(tables["threshold"][node]) for node in inner], "decision_type": zeros,
            "left_child": [number[int(left[node])] for node in inner],
            "right_child": [number[int(right[node])] for node in inner],
            "leaf_weight": ones, "leaf_count": ones,
            "internal_value": zeros, "internal_weight": zeros, "internal_count": zeros,
        }  # fmt: skip
    lines = [f"num_leaves={len(leaves)}", "num_cat=0", "is_linear=0", "shrinkage=1"]
    lines += [f"{key}={' '.join(map(repr, some))}" for key, some in found.items()]
    return "\n".join([*lines, ""]), leaves
