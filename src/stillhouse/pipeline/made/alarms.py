"""What is odd about made rows: few classes, rows that are there twice, values that spread less from round to round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LEAST_ENTROPY = 0.7  # of the classes, as a share of its maximum
LEAST_SHARE = 0.2  # of a class, as a share of 1 / C
MOST_DUPLICATES = 0.2
BINS = 10  # of the confidence
COMPARED, REFERENCE = 500, 2000  # made rows whose nearest real row is looked for, among so many


def class_facts(outputs: Tensor) -> dict[str, Any]:
    """Shares of the teacher's classes, their entropy and its confidence, from log-probabilities (N, C)."""
    classes = outputs.shape[1]
    top = outputs.argmax(1)
    shares = torch.bincount(top, minlength=classes).double() / max(len(top), 1)
    entropy = float(-torch.xlogy(shares, shares).sum() / np.log(classes))
    sure = outputs.exp().amax(1).double().numpy()
    counts, _ = np.histogram(sure, BINS, (0.0, 1.0))
    return {
        "classes": shares.tolist(),
        "entropy": entropy,
        "confidence": float(sure.mean()),
        "histogram": (counts / max(len(sure), 1)).tolist(),
    }


def row_facts(inputs: Tensor, words: NDArray[np.uint64], real: Tensor) -> dict[str, Any]:
    """Share of duplicates, spread of the values, and distances to real rows; None where rows are no numbers.

    Args:
        inputs: (N, ...) encoded made rows.
        words: (N,) a hash of each.
        real: (M, ...) encoded real rows.
    """
    found: dict[str, Any] = {"duplicates": 1 - len(np.unique(words)) / max(len(words), 1)}
    found |= {"spread": None, "near_real": None, "real_to_real": None}
    if not inputs.is_floating_point() or len(inputs) < 2:
        return found
    found["spread"] = float(inputs.flatten(1).std(0).mean())
    if len(real) > 1:
        some, there = inputs[:COMPARED].flatten(1), real[:REFERENCE].flatten(1)
        found["near_real"] = float(torch.cdist(some, there).amin(1).median())
        own = torch.cdist(there[:COMPARED], there)
        own[torch.arange(len(own)), torch.arange(len(own))] = torch.inf
        found["real_to_real"] = float(own.amin(1).median())
    return found


def alarms_of(facts: dict[str, Any], before: dict[str, Any] | None, names: Sequence[str]) -> list[str]:
    """What is odd about the rows of a round, in sentences; ``before``: the facts of the round before."""
    found = []
    if "classes" in facts:
        shares = np.array(facts["classes"])
        if facts["entropy"] < LEAST_ENTROPY:
            found.append(
                f"the teacher's classes have {100 * facts['entropy']:.0f} % of the largest entropy, less than "
                f"{100 * LEAST_ENTROPY:.0f} %"
            )
        rare = np.flatnonzero(shares < LEAST_SHARE / len(shares))
        if len(rare):
            told = ", ".join(str(names[c]) if c < len(names) else str(c) for c in rare[:5])
            found.append(f"fewer than {100 * LEAST_SHARE / len(shares):.1f} % of the rows are of the class {told}")
    if facts["duplicates"] > MOST_DUPLICATES:
        found.append(f"{100 * facts['duplicates']:.0f} % of the rows are there twice")
    if before is not None and facts["spread"] is not None and facts["spread"] < before["spread"]:
        found.append(f"the values spread less than in the round before ({facts['spread']:.3g}, {before['spread']:.3g})")
    return found
