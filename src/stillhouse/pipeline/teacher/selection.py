"""Which rows a costly teacher is asked about, where not all: the labelled ones, and those that are worth it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data import Rows
from stillhouse.data.asking import How, choose_rows
from stillhouse.errors import UsageError
from stillhouse.pipeline.context import Ingredients

MOST_BAGS = 4096  # columns of the bag of tokens that stands for a text


def asked_only(have: Ingredients, calls: int | None, how: How) -> Ingredients:
    """The ingredients with the training rows that ``calls`` answers reach, the labelled ones first.

    The others leave the run: no arm trains on them, so that all see the same rows.

    Args:
        have: the run's ingredients.
        calls: [teacher] calls, rows times views; None: all.
        how: [teacher] ask.

    Raises:
        UsageError: fewer calls than the labelled rows need.
    """
    rows, views, labelled = len(have.data.train.targets), have.views.count, have.labelled
    if calls is None or calls >= rows * views:
        return have
    wanted = calls // views
    if wanted < len(labelled):
        raise UsageError(
            f"[teacher] calls = {calls}: with {views} views a row that is {wanted} rows, fewer than the "
            f"{len(labelled)} labelled ones. Give at least {len(labelled) * views}."
        )
    keep = torch.cat([labelled, worth_asking(have, wanted - len(labelled), how)]).sort().values
    split = replace(have.data.split, train=have.data.split.train[keep.numpy()])
    train = Rows(have.data.train.inputs[keep], have.data.train.targets[keep])
    views_kept = replace(have.views, pool=train.inputs)
    return replace(have, data=have.data._replace(split=split, train=train), views=views_kept)


def worth_asking(have: Ingredients, count: int, how: How) -> Tensor:
    """Positions int64 (count,) of unlabelled training rows, chosen by a scout or by where they lie.

    The scout of "uncertainty" and "entropy" is a logistic regression on the labelled rows: it costs a second, and only
    the order of its doubts is used.
    """
    labelled = have.labelled.numpy()
    points = features(have)
    scout = None
    if how in ("uncertainty", "entropy"):
        scout = scout_log_probs(points, labelled, have.data.train.targets.numpy())
    chosen = choose_rows(
        how,
        count=count,
        seed=have.views.seed,
        rows=len(points),
        log_probs=scout,
        embeddings=points if how == "coreset" else None,
        labelled=labelled,
    )
    return torch.from_numpy(chosen)


def features(have: Ingredients) -> NDArray[np.float32]:
    """Encoded training rows as vectors (N, F); texts as the shares of their tokens, folded into few columns."""
    inputs = have.data.train.inputs
    if inputs.is_floating_point():
        return inputs.flatten(1).numpy()
    width = min(MOST_BAGS, int(inputs.max()) + 1)
    bags = torch.zeros(len(inputs), width)
    bags.scatter_add_(1, inputs % width, (inputs != 0).float())
    shares: NDArray[np.float32] = (bags / bags.sum(1, keepdim=True).clamp(min=1)).sqrt().numpy()
    return shares


def scout_log_probs(
    points: NDArray[np.float32], labelled: NDArray[np.int64], targets: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Log-probabilities (N, classes met) of a logistic regression on the labelled rows."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(max_iter=200).fit(points[labelled], targets[labelled])
    said: NDArray[np.float64] = fitted.predict_log_proba(points)
    return said
