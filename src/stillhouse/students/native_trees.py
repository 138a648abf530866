"""LightGBM's own walk through our tables of nodes: it finds the same leaves, several times faster than tensors do.

The library gets the tests and the trees' form alone, and answers with the number of the leaf that a row reaches; the
values of the leaves are added up where they always are, so outputs are the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stillhouse.students.lightgbm_text import Tables, bare_model

LEAST_TREES = 20  # below, a call of the library takes longer than the walk


class NativeWalk:
    """Trees of one ensemble in the form of the library.

    Args:
        tables: of the nodes.
        roots: of the T trees.
        inputs: values of a row.
    """

    def __init__(self, tables: Tables, roots: Sequence[int], inputs: int) -> None:
        from lightgbm import Booster

        text, leaves = bare_model(tables, roots, inputs)
        self.booster = Booster(model_str=text)
        self.leaves = torch.zeros(len(leaves), max(map(len, leaves)), dtype=torch.int64)
        for number, found in enumerate(leaves):
            self.leaves[number, : len(found)] = torch.tensor(found)

    def __call__(self, rows: Tensor) -> Tensor:
        """The leaves (T, B) that rows (B, F) reach, as numbers of nodes."""
        found: Any = self.booster.predict(rows.numpy(), pred_leaf=True, num_threads=1)
        return self.leaves.gather(1, torch.from_numpy(np.ascontiguousarray(found.T, np.int64)))


def can_walk(threshold: Tensor, trees: int) -> bool:
    """Whether the library is there, and these trees are many enough and have no threshold that it could not read."""
    return trees >= LEAST_TREES and bool(threshold.isfinite().all()) and find_spec("lightgbm") is not None
