"""Whether a policy of views has what it needs, and fits the rows."""

from __future__ import annotations

import torch
from torch import Tensor

from stillhouse.data.views.tokens import Guesser
from stillhouse.errors import UsageError

_SHARES = ("words", "masked")  # whose strength is a share of the words


def check_strength(policy: str, strength: float, probability: float) -> None:
    """Refuse a strength out of the policy's range.

    Raises:
        UsageError: says the range.
    """
    if policy in _SHARES and strength > 1:
        raise UsageError(
            f'[views] policy = "{policy}" takes a share of the words, from 0 to 1, but strength = {strength:g}. Write '
            "`strength = 0.2`, for instance."
        )
    if policy == "munge" and not (strength > 0 and 0 <= probability <= 1):
        raise UsageError(
            f'[views] policy = "munge" takes a local variance above 0 and a probability from 0 to 1, but strength = '
            f"{strength:g} and the probability is {probability:g}. Write `strength = 2`, for instance."
        )


def check_needs(
    policy: str, pool: Tensor | None, mask_id: int | None, neighbours: Tensor | None, guesser: Guesser | None
) -> None:
    """Refuse a policy without what it works with.

    Raises:
        UsageError: says what to give.
    """
    needs = {
        "mixup": (pool, "blends rows with others: give all training rows as `pool=inputs`"),
        "munge": (pool, "mixes rows with their neighbours: give all training rows as `pool=inputs`"),
        "words": (mask_id, "puts an id in the place of words: give it as `mask_id=encoder.mask_id`"),
        "masked": (
            pool if guesser is not None else neighbours,
            "exchanges words: give `neighbours=token_neighbours(embedding, k)`, or `guesser=` and all training rows as "
            "`pool=inputs`",
        ),
    }
    if policy in needs and needs[policy][0] is None:
        raise UsageError(f'Views("{policy}", ...) {needs[policy][1]}.')
    if policy == "munge" and pool is not None and (pool.dim() != 2 or len(pool) < 2):
        raise UsageError(
            f'[views] policy = "munge" needs a table of at least two training rows, but these have the shape '
            f'{tuple(pool.shape)}. Write "none", or for images "shift", "cutout" or "mixup".'
        )


def check_inputs(policy: str, inputs: Tensor) -> None:
    """Refuse rows that the policy is not made for.

    Args:
        policy: of the views.
        inputs: (B, ...) encoded rows.

    Raises:
        UsageError: says what the rows are and which policy to write.
    """
    form = tuple(inputs.shape[1:])
    if policy in ("shift", "cutout") and inputs.dim() < 3:
        does = "moves" if policy == "shift" else "covers parts of"
        raise UsageError(
            f'[views] policy = "{policy}" {does} images, but a row has the shape {form}. Write `policy = "noise"` or '
            '"none".'
        )
    if policy in ("noise", "mixup", "munge") and not inputs.is_floating_point():
        raise UsageError(f'[views] policy = "{policy}" needs numbers with fractions, not {inputs.dtype}. Write "none".')
    if policy in _SHARES and (inputs.dtype != torch.int64 or inputs.dim() != 2):
        raise UsageError(
            f'[views] policy = "{policy}" is for texts as token ids, not for {inputs.dtype} rows of the shape {form}. '
            'Write "none".'
        )
