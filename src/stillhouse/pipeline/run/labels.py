"""Which labels a net may see, and how much each row counts for it."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.errors import RejectedError
from stillhouse.pipeline.run.context import RunContext
from stillhouse.types import has_label, withheld


def visible_labels(context: RunContext) -> Tensor:
    """The training labels that the main teacher may see, by ``[teacher] labels``.

    Raises:
        RejectedError: the recipe asks for more labels than there are.
    """
    wanted, known = context.recipe.teacher.labels, context.data.train.targets
    if wanted == "all":
        return known
    keep = context.labelled
    if isinstance(wanted, int) and wanted < len(keep):
        keep = keep[:: max(1, len(keep) // wanted)][:wanted]
    elif isinstance(wanted, int):
        rest = torch.nonzero(has_label(known) & ~torch.isin(torch.arange(len(known)), keep)).flatten()
        missing = wanted - len(keep)
        if missing > len(rest):
            raise RejectedError(
                f"[teacher] labels = {wanted}, but only {len(keep) + len(rest)} training rows have a label. "
                'Lower it, or set `labels = "all"`.'
            )
        order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(context.recipe.data.seed))
        keep = torch.cat([keep, rest[order[:missing]]])
    return only(known, keep)


def only(targets: Tensor, keep: Tensor) -> Tensor:
    """Withhold every label but those at the given positions."""
    visible = withheld(targets)
    visible[keep] = targets[keep]
    return visible


def counted_rows(context: RunContext, targets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """The rows that count for a net, and how much each training row does.

    ``[data] weight`` and ``[training] class_weight`` are multiplied; a row of weight 0 is left out.

    Args:
        context: of the run.
        targets: of all training rows, hidden where the net may not see them.
        rows: int64 positions of the rows that it may be trained on.

    Returns:
        positions, and float32 (N,) of mean 1 over them; None where all count alike.

    Raises:
        RejectedError: every row has weight 0.
    """
    weights = context.data.train.weights
    if context.recipe.training.class_weight == "balanced":
        weights = context.task.balanced(targets, weights)
    if weights is None:
        return rows, None
    counting = rows[weights[rows] > 0]
    if not len(counting):
        raise RejectedError(
            f"All {len(rows)} rows that a net may be trained on have the weight 0, so there is nothing to train on. "
            "Correct the column of `[data] weight`, or remove that line."
        )
    return counting, weights / weights[counting].mean()
