"""Augmented views that can be repeated: a view depends on (row, view, seed) alone, so teacher and student get the same.

A file of this folder that ends in ``POLICY = Policy(...)`` is a policy of that file's name; its first line is the help.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.source import Ints
from stillhouse.data.splitmix import Words, words
from stillhouse.errors import UsageError
from stillhouse.folders import check_name
from stillhouse.types import withheld

FOLDER = "data/views"
NONE = "none"  # the policy that changes no row

Flags = NDArray[np.bool_]


class Candidates(NamedTuple):
    """Candidate tokens for each place of some rows, the likeliest first."""

    ids: NDArray[np.int32]  # (N, L, k)
    chances: NDArray[np.float32]  # (N, L, k), of sum 1 at each place


class Guesser(Protocol):
    """A masked language model that gives candidates for rows."""

    @property
    def key(self) -> str:
        """Everything, besides the rows, that determines its candidates."""

    def candidates(self, inputs: Tensor) -> Candidates:
        """The candidates for each place of token ids (N, L)."""


class Asked(NamedTuple):
    """The rows whose views are made."""

    inputs: Tensor  # (B, ...) encoded
    rows: Ints  # (B,) row ids
    keys: Words  # (B,) random words of (seed, policy, row, view)
    moved: Flags  # (B,) False: view 0, which must be the unchanged row


@dataclass(frozen=True)
class Policy:
    """One way to change a row.

    Args:
        stream: number of its random stream; no two policies have the same.
        apply: makes the views (B, ...); the same values for any batching.
        check_inputs: refuses rows of an unsuitable shape or type.
        describe: everything, except its name and count, that determines the views; for the key of a store.
        check: refuses invalid settings, before any row is read.
        keeps_label: whether a view still has the label of its row.
        strength: the default, for rows of this shape.
        prepare: makes a value once from all training rows; see ``Views.prepared``.
        any_length: whether the view of a longer encoding of a text begins as that of a shorter one.
    """

    stream: int
    apply: Callable[[Views, Asked], Tensor]
    check_inputs: Callable[[Tensor], None]
    describe: Callable[[Views], str]
    check: Callable[[Views], None] = lambda views: None
    keeps_label: bool = True
    strength: Callable[[Sequence[int]], float] = lambda shape: 1.0
    prepare: Callable[[Views], Any] = lambda views: None
    any_length: bool = False


def get(name: str) -> Policy:
    """Return a policy.

    Raises:
        UsageError: no policy has this name; the message names the nearest.
    """
    check_name(FOLDER, name, "[views] policy", extra=(NONE,))
    policy: Policy = importlib.import_module(f"{__package__}.{name}").POLICY
    return policy


@dataclass(frozen=True)
class Views:
    """The views of a run. View 0 is the unchanged row; the policy makes the others.

    Args:
        policy: "none", the name of a file of this folder, or that of ``own``.
        count: views of each row, the unchanged row included.
        strength: how much a view differs from its row, in the units of the policy.
        seed: of all views.
        fill: value of uncovered pixels, one for all channels or one for each (``Encoder.fill``).
        columns: encoded columns that are numbers (``Encoder.noise_columns``); None: all.
        pool: all training rows (N, ...), by row id, for policies that use other rows.
        column_groups: encoded columns that are one attribute (``Encoder.column_groups``).
        probability: of munge, the paper's p.
        mask_id: the id that replaces a dropped word (``Encoder.mask_id``).
        special_ids: ids that are not words (``Encoder.special_ids``).
        neighbours: of masked without a guesser, int64 (V, k).
        guesser: of masked, the model that gives candidates for the pool.
        own: the policy, where it is no file of this folder.

    Raises:
        UsageError: no such policy, no view at all, or a missing argument of the policy.
    """

    policy: str
    count: int
    strength: float
    seed: int
    fill: float | tuple[float, ...] = 0.0
    columns: tuple[int, ...] | None = None
    pool: Tensor | None = field(default=None, repr=False, compare=False)
    column_groups: tuple[tuple[int, ...], ...] = ()
    probability: float = 0.5
    mask_id: int | None = None
    special_ids: tuple[int, ...] = (0,)
    neighbours: Tensor | None = field(default=None, repr=False, compare=False)
    guesser: Guesser | None = field(default=None, repr=False, compare=False)
    own: Policy | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.own is None:
            check_name(FOLDER, self.policy, "[views] policy", extra=(NONE,))
        if self.count < 1 or not self.strength >= 0:
            raise UsageError(
                f"[views] count = {self.count}, strength = {self.strength}: count must be at least 1, for the "
                "unchanged row, and strength must not be negative."
            )
        if not self.idle:
            self._policy.check(self)

    @property
    def idle(self) -> bool:
        """Whether every view is the unchanged row."""
        return self.policy == NONE or self.count == 1

    @property
    def labelled(self) -> int:
        """How many of a row's views keep its label: all, or only the unchanged row."""
        return self.count if self.idle or self._policy.keeps_label else 1

    @property
    def any_length(self) -> bool:
        """Whether teacher and students that read different lengths of a text are shown the same view of it."""
        return self.idle or self._policy.any_length

    def ready(self) -> None:
        """Run the model of the views now, before anything that is timed."""
        if not self.idle and self.guesser is not None:
            _ = self.prepared

    def targets(self, targets: Tensor, views: Tensor) -> Tensor:
        """Targets (B, ...) of these views of rows with these targets; withheld where a view has none."""
        if self.labelled == self.count:
            return targets
        original = (views.to(targets.device) == 0).reshape(-1, *[1] * (targets.ndim - 1))
        return torch.where(original, targets, withheld(targets))

    def apply(self, inputs: Tensor, rows: Tensor, views: Tensor) -> Tensor:
        """Return the views of a batch.

        Args:
            inputs: (B, ...) the unchanged rows: floating, or token ids (B, L) for words and masked.
            rows: (B,) int64 row ids.
            views: (B,) int64, 0 for the unchanged row.

        Returns:
            the shape, type and device of ``inputs``; the same values for any batching.

        Raises:
            UsageError: the policy does not fit rows of this shape or type.
        """
        if self.idle or not len(inputs):
            return inputs
        self._policy.check_inputs(inputs)
        row, view = rows.cpu().numpy(), views.cpu().numpy()
        return self._policy.apply(self, Asked(inputs, row, words(self.seed, self._policy.stream, row, view), view != 0))

    def describe(self) -> str:
        """Everything that determines the views, for the key of a store."""
        if self.idle:
            return NONE
        return f"{self.policy} count={self.count} {self._policy.describe(self)} splitmix64-1"

    @cached_property
    def prepared(self) -> Any:
        """The value that the policy makes once from all training rows."""
        return self._policy.prepare(self)

    @cached_property
    def _policy(self) -> Policy:
        return self.own or get(self.policy)


def described(views: Views) -> str:
    """Strength and seed, the description of most policies."""
    return f"strength={views.strength:g} seed={views.seed}"


def digest(tensor: Tensor | None) -> str:
    """Hash of a tensor that a policy uses."""
    assert tensor is not None
    return xxhash.xxh3_128_hexdigest(tensor.detach().cpu().contiguous().numpy().tobytes())


def need_fractions(policy: str, inputs: Tensor) -> None:
    """Refuse rows of whole numbers."""
    if not inputs.is_floating_point():
        raise UsageError(f'[views] policy = "{policy}" needs numbers with fractions, not {inputs.dtype}. Write "none".')


def need_images(policy: str, inputs: Tensor, does: str) -> None:
    """Refuse rows that are not images."""
    if inputs.dim() < 3:
        raise UsageError(
            f'[views] policy = "{policy}" {does} images, but a row has the shape {tuple(inputs.shape[1:])}. Write '
            '`policy = "noise"` or "none".'
        )


def need_texts(policy: str, inputs: Tensor) -> None:
    """Refuse rows that are not token ids."""
    if inputs.dtype != torch.int64 or inputs.dim() != 2:
        raise UsageError(
            f'[views] policy = "{policy}" is for texts as token ids, not for {inputs.dtype} rows of the shape '
            f'{tuple(inputs.shape[1:])}. Write "none".'
        )


def need_pool(views: Views, does: str) -> None:
    """Refuse views without the other training rows."""
    if views.pool is None:
        raise UsageError(f'Views("{views.policy}", ...) {does}: give all training rows as `pool=inputs`.')


def need_share(views: Views) -> None:
    """Refuse a strength that is not a share of the words."""
    if views.strength > 1:
        raise UsageError(
            f'[views] policy = "{views.policy}" takes a share of the words, from 0 to 1, but strength = '
            f"{views.strength:g}. Write `strength = 0.2`, for instance."
        )
