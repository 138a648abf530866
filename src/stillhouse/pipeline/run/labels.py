"""Which labels a net may see."""

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
