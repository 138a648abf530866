"""Which rows an expensive teacher is asked about if not all: the labelled ones, and the most informative others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.asking import How, choose_rows
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.context import RunContext

MOST_BAGS = 4096  # columns of the bag of tokens that stands for a text


def asked_only(context: RunContext, calls: int | None, how: How) -> RunContext:
    """The context with the training rows that ``calls`` answers (rows times views; None: all) reach, labelled first.

    The others leave the run: no arm trains on them, so that all see the same rows.

    Raises:
        UsageError: fewer calls than the labelled rows need.
    """
    rows, views, labelled = len(context.data.train.targets), context.views.count, context.labelled
    if calls is None or calls >= rows * views:
        return context
    wanted = calls // views
    if wanted < len(labelled):
        raise UsageError(
            f"[teacher] calls = {calls}: with {views} views a row that is {wanted} rows, fewer than the "
            f"{len(labelled)} labelled ones. Give at least {len(labelled) * views}."
        )
    keep = torch.cat([labelled, worth_asking(context, wanted - len(labelled), how)]).sort().values
    split = replace(context.data.split, train=context.data.split.train[keep.numpy()])
    train = context.data.train.take(keep)
    views_kept = replace(context.views, pool=train.inputs)
    return replace(context, data=context.data._replace(split=split, train=train), views=views_kept)


def worth_asking(context: RunContext, count: int, how: How) -> Tensor:
    """Positions int64 (count,) of unlabelled training rows, chosen by a scout or by where they lie.

    The scout of "uncertainty" and "entropy" is a logistic regression on the labelled rows: it costs a second, and only
    the order of its doubts is used.
    """
    labelled = context.labelled.numpy()
    points = features(context)
    scout = None
    if how in ("uncertainty", "entropy"):
        scout = scout_log_probs(points, labelled, context.data.train.targets.numpy())
    chosen = choose_rows(
        how,
        count=count,
        seed=context.views.seed,
        rows=len(points),
        log_probs=scout,
        embeddings=points if how == "coreset" else None,
        labelled=labelled,
    )
    return torch.from_numpy(chosen)


def features(context: RunContext) -> NDArray[np.float32]:
    """Encoded training rows as vectors (N, F); texts as the shares of their tokens, folded into few columns."""
    inputs = context.data.train.inputs
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
