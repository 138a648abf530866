"""Views by a function of the user's own: one row and a generator in, the changed row out.

The function is called for each row by itself, with a generator that starts from (row, view, seed). So a view is the
same in any batch, whatever the function does with it, as long as it keeps nothing between its calls.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stillhouse.data.views.base import Asked, Policy, Views
from stillhouse.errors import UsageError

Change = Callable[[Tensor, torch.Generator], Tensor]
STREAM = 19
TRIED = 16  # rows on which a function is tried
TAKES = (
    "It is called as function(row, generator), with one encoded row, and returns that row changed. A transform that "
    "takes one row fits as `lambda row, generator: transform(row)`."
)


def own_policy(function: Change, name: str, identity: str, *, keeps_label: bool, vocabulary: int | None) -> Policy:
    """Make the policy of a function.

    Args:
        function: takes an encoded row (...) and a ``torch.Generator``, returns a row of the same shape and type.
        name: of the function, for messages.
        identity: hash of all that determines what it returns.
        keeps_label: whether what it returns still has the label of its row.
        vocabulary: of texts, how many token ids there are.

    Raises:
        UsageError: the function cannot be called in this way.
    """
    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError) as error:
        raise UsageError(f"[views] {name} cannot be used: {error}. {TAKES}") from None

    def apply(views: Views, asked: Asked) -> Tensor:
        made = asked.inputs.clone()
        with seeded() as start, torch.no_grad():
            for place in np.flatnonzero(asked.moved):
                generator = start(int(asked.keys[place] >> np.uint64(1)))
                row = int(asked.rows[place])
                made[place] = changed(function, asked.inputs[place].clone(), generator, f"{name}, row {row}")
        if vocabulary is not None and ((made < 0) | (made >= vocabulary)).any():
            raise UsageError(f"[views] {name} returned token ids outside 0 to {vocabulary - 1}, the vocabulary.")
        return made

    return Policy(
        stream=STREAM,
        apply=apply,
        check_inputs=lambda inputs: None,
        describe=lambda views: f"{identity} seed={views.seed}",
        keeps_label=keeps_label,
    )


def changed(function: Change, row: Tensor, generator: torch.Generator, where: str) -> Tensor:
    """Call a function once.

    Raises:
        UsageError: it fails, or returns what is no such row.
    """
    try:
        found: Any = function(row, generator)
    except Exception as error:
        raise UsageError(f"[views] {where}: {type(error).__name__}: {error}. {TAKES}") from error
    if not isinstance(found, Tensor):
        raise UsageError(f"[views] {where}: it returned {type(found).__name__}, not a tensor. {TAKES}")
    if (found.shape, found.dtype) != (row.shape, row.dtype):
        raise UsageError(
            f"[views] {where}: it returned {found.dtype} of the shape {tuple(found.shape)} for a row of {row.dtype} of "
            f"the shape {tuple(row.shape)}. Return the same: crop and resize back, and end with `.to(row.dtype)`."
        )
    if not torch.isfinite(found).all():
        raise UsageError(f"[views] {where}: it returned NaN or infinite values. Look for a division by zero or a log.")
    return found


@contextmanager
def seeded() -> Iterator[Callable[[int], torch.Generator]]:
    """Give a function that starts every usual generator from a seed, and leave the global ones as they were.

    Transforms of other libraries draw from the global generators of torch, numpy or Python; they must not use up the
    numbers of the training either.
    """
    own, everyone = torch.Generator(), torch.default_generator

    def start(seed: int) -> torch.Generator:
        everyone.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 -- the global one is what others draw from
        random.seed(seed)
        return own.manual_seed(seed)

    before = everyone.get_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield start
    finally:
        everyone.set_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])


def try_views(views: Views, inputs: Tensor) -> None:
    """Ask for the views of some rows twice, and one by one in another order, before anything rests on them.

    Args:
        views: of a function.
        inputs: (N, ...) the training rows.

    Raises:
        UsageError: they differ, or no row is changed, or the function fails.
    """
    rows = torch.arange(min(TRIED, len(inputs)))
    anything = False
    for number in range(1, min(views.count, 4)):
        view = torch.full_like(rows, number)
        first, again = (views.apply(inputs[rows], rows, view) for _ in range(2))
        alone = [views.apply(inputs[[row]], torch.tensor([row]), view[:1]) for row in reversed(range(len(rows)))]
        for other, when in ((again, "asked twice"), (torch.cat(alone[::-1]), "asked in another batch")):
            differ = (first != other).flatten(1).any(1).nonzero().flatten().tolist()
            if differ:
                raise UsageError(
                    f"[views] {views.policy}: {when} for view {number} of training row {differ[0]}, it returned other "
                    "values. Teacher and student must get the same view: draw only from the generator that it gets "
                    "(`torch.rand((), generator=generator)`), and keep nothing between the calls."
                )
        anything |= bool((first != inputs[rows]).any())
    if not anything:
        raise UsageError(
            f"[views] {views.policy} returned {len(rows)} training rows as they are. Change them, or write `policy = "
            '"none"`.'
        )
