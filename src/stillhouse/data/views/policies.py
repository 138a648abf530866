"""Augmented views that replay: a view is a function of (row, view, seed) alone, so teacher and student see the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
import xxhash
from torch import Tensor

from stillhouse.data.normal import normal, whole
from stillhouse.data.source import Ints
from stillhouse.data.splitmix import Words, stream, words
from stillhouse.data.views.checks import check_inputs, check_needs, check_strength
from stillhouse.data.views.images import cutout, shift
from stillhouse.data.views.munge import Attributes, Floats, attributes, munge, nearest_rows
from stillhouse.data.views.tokens import Candidates, Flags, Guesser, exchanged_words, guessed_words, lost_words
from stillhouse.errors import UsageError, nearest

__all__ = ["Policy", "Views", "shift"]

Policy: TypeAlias = Literal["none", "shift", "noise", "mixup", "cutout", "munge", "words", "masked"]

_POLICIES: tuple[Policy, ...] = get_args(Policy)
# Each policy draws from its own stream.
_STREAMS = {"shift": 11, "noise": 12, "mixup": 13, "cutout": 14, "munge": 15, "words": 16, "masked": 17}
_UNLABELLED = ("mixup", "munge", "masked")  # what these show may be of another class than the row
_LOW = np.uint64(0xFFFF_FFFF)


@dataclass(frozen=True)
class Views:
    """The views of a run. View 0 is the row as it is.

    ``shift`` moves an image by whole pixels, each axis uniform in ``-strength .. strength``, and fills the uncovered
    border. ``cutout`` fills a square of ``strength`` pixels a side, its centre uniform over the image, so that a part
    may lie outside (DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout",
    arXiv 1708.04552, 2017; their code makes an odd side even, here it stays odd).

    ``noise`` adds Gaussian noise of standard deviation ``strength`` to the numeric columns (after standardisation: in
    units of the training rows' deviation). ``munge`` exchanges the attributes of a row, each with ``probability``, for
    ones drawn about its nearest neighbour's with the local variance ``strength`` (``munge.munge``).

    ``words`` puts ``mask_id`` in the place of each word with the probability ``strength``, never of all. ``masked``
    puts another word there: what the ``guesser`` would write in this place, drawn by its probabilities
    (``token_views.guessed_words``), or without one a neighbour, all alike (``token_views.token_neighbours``).

    ``mixup`` blends the row with another training row, ``c * row + (1 - c) * partner``; the partner and c, uniform in
    [0, 1), follow from (row, view, seed). This is the view of function matching (Beyer, Zhai, Royer, Markeeva, Anil,
    Kolesnikov, "Knowledge distillation: A good teacher is patient and consistent", CVPR 2022): both nets are asked
    about the very same blend, and the training is long. Give it many views and many steps. The paper blends augmented
    crops; here rows as they are.

    Views of mixup, munge and masked have no label: what they show may be of another class.

    Args:
        policy: "none" or one of the above.
        count: views a row, the row as it is included.
        strength: see above; shift, cutout: pixels (rounded down); munge: the paper's s, above 0, and the greater, the
            nearer to the neighbour; words, masked: in [0, 1]; mixup: not used.
        seed: of all views.
        fill: value of the uncovered, one for all channels or one each (``Encoder.fill``).
        columns: encoded columns that are numbers (``Encoder.noise_columns``); None: all, of munge but those grouped.
        pool: all training rows (N, ...), by row id, among which mixup finds its partners and munge its neighbours, and
            about which the guesser is asked.
        column_groups: of munge, encoded columns that are one attribute (a category's marks; a number and its gap mark).
        probability: of munge, the paper's p.
        mask_id: of words, the id that stands for a lost word (``TextEncoder.mask_id``).
        special_ids: of words and masked, ids that are no words (``TextEncoder.special_ids``).
        neighbours: of masked without a guesser, int64 (V, k).
        guesser: of masked, the model that is asked about the pool.

    Raises:
        UsageError: no such policy, no view at all, or a policy without what it needs.
    """

    policy: Policy
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

    def __post_init__(self) -> None:
        if self.policy not in _POLICIES:
            raise UsageError(f"[views] policy: there is no {self.policy!r}.{nearest(self.policy, _POLICIES)}")
        if self.count < 1 or not self.strength >= 0:
            raise UsageError(
                f"[views] count = {self.count}, strength = {self.strength}: there is at least one view, the row as it "
                "is, and strength is not negative."
            )
        if not self.idle:
            check_strength(self.policy, self.strength, self.probability)
            check_needs(self.policy, self.pool, self.mask_id, self.neighbours, self.guesser)

    @property
    def idle(self) -> bool:
        """Whether every view is the row as it is."""
        return self.policy == "none" or self.count == 1

    @property
    def labelled(self) -> int:
        """How many of a row's views keep its label: all, or the row as it is alone."""
        return 1 if self.policy in _UNLABELLED else self.count

    def ready(self) -> None:
        """Ask now for what the views need of a model, before anything that is timed."""
        if not self.idle and self.guesser is not None:
            _ = self._candidates

    def targets(self, targets: Tensor, views: Tensor) -> Tensor:
        """The labels (B,) of these views of rows with these labels; -1 where a view has none."""
        return targets if self.labelled == self.count else torch.where(views.to(targets.device) == 0, targets, -1)

    def apply(self, inputs: Tensor, rows: Tensor, views: Tensor) -> Tensor:
        """Return the views of a batch.

        Args:
            inputs: (B, ...) the rows as they are: floating, or token ids (B, L) for words and masked.
            rows: (B,) int64 row ids.
            views: (B,) int64, 0 for the row as it is.

        Returns:
            the shape, type and device of ``inputs``; the same values for any batching.

        Raises:
            UsageError: the policy is not for rows of this shape or type.
        """
        if self.idle or not len(inputs):
            return inputs
        check_inputs(self.policy, inputs)
        row, view = rows.cpu().numpy(), views.cpu().numpy()
        keys, moved = words(self.seed, _STREAMS[self.policy], row, view), view != 0
        match self.policy:
            case "shift":
                return self._shift(inputs, keys, moved)
            case "cutout":
                return self._cutout(inputs, keys, moved)
            case "noise":
                return self._noise(inputs, keys, moved)
            case "munge":
                return self._munge(inputs, row, keys, moved)
            case "mixup":
                return self._mixup(inputs, keys, moved)
            case _:
                return self._tokens(inputs, row, keys, moved)

    def describe(self) -> str:
        """Everything that determines the views, for the key of a store."""
        if self.idle:
            return "none"
        # Other rows are part of a blend or of an exchange, so every row of the pool belongs to what is described.
        common = f"{self.policy} count={self.count} strength={self.strength:g} seed={self.seed}"
        match self.policy:
            case "mixup":
                own = f"mixup count={self.count} seed={self.seed} pool={_digest(self.pool)}"
            case "cutout":
                own = f"{common} fill={self.fill!r}"
            case "munge":
                kinds = f"columns={self.columns!r} groups={self.column_groups!r} probability={self.probability:g}"
                own = f"{common} {kinds} pool={_digest(self.pool)}"
            case "words":
                own = f"{common} mask={self.mask_id} specials={sorted(self.special_ids)!r}"
            case "masked":
                guessed = self.guesser and f"guesser={self.guesser.key} pool={_digest(self.pool)}"
                others = guessed or f"neighbours={_digest(self.neighbours)}"
                own = f"{common} specials={sorted(self.special_ids)!r} {others}"
            case _:
                own = f"{common} fill={self.fill!r} columns={self.columns!r}"
        return f"{own} splitmix64-1"

    def _shift(self, inputs: Tensor, keys: Words, moved: Flags) -> Tensor:
        reach = int(self.strength)
        span = np.uint64(2 * reach + 1)
        halves = keys & _LOW, keys >> np.uint64(32)
        down, right = ((half * span >> np.uint64(32)).astype(np.int64) for half in halves)
        offsets = np.stack([np.where(moved, part, reach) for part in (down, right)])
        return shift(inputs, torch.from_numpy(offsets).to(inputs.device), reach, self.fill)

    def _cutout(self, inputs: Tensor, keys: Words, moved: Flags) -> Tensor:
        drawn = stream(keys, 2)
        centres = np.stack([whole(drawn[:, axis], size) for axis, size in enumerate(inputs.shape[-2:])])
        side = np.where(moved, int(self.strength), 0)
        places, sides = (torch.from_numpy(part).to(inputs.device) for part in (centres, side))
        return cutout(inputs, places, sides, self.fill)

    def _mixup(self, inputs: Tensor, keys: Words, moved: Flags) -> Tensor:
        assert self.pool is not None
        drawn = stream(keys, 2)
        partners = (drawn[:, 0] % np.uint64(len(self.pool))).astype(np.int64)
        share = (drawn[:, 1] >> np.uint64(40)).astype(np.float32) / np.float32(2**24)  # 24 bits: exact in float32
        share[~moved] = 1.0
        own = torch.from_numpy(share).to(inputs).view(-1, *[1] * (inputs.dim() - 1))
        others = self.pool[torch.from_numpy(partners).to(self.pool.device)].to(inputs)
        return own * inputs + (1 - own) * others

    def _noise(self, inputs: Tensor, keys: Words, moved: Flags) -> Tensor:
        flat = inputs.flatten(1).clone()
        columns = slice(None) if self.columns is None else list(self.columns)
        width = flat[:, columns].shape[1]
        noise = normal(keys, width) * np.float32(self.strength)
        noise[~moved] = 0.0
        flat[:, columns] += torch.from_numpy(noise).to(flat)
        return flat.view_as(inputs)

    def _munge(self, inputs: Tensor, rows: Ints, keys: Words, moved: Flags) -> Tensor:
        pool, kinds, nearest_row = self._neighbourhood
        views, own = inputs.clone(), inputs[torch.from_numpy(moved).to(inputs.device)].float().cpu().numpy()
        made = munge(
            own,
            pool[nearest_row[rows[moved]]],
            keys[moved],
            kinds,
            variance=self.strength,
            probability=self.probability,
        )
        views[torch.from_numpy(moved).to(inputs.device)] = torch.from_numpy(made).to(inputs)
        return views

    def _tokens(self, inputs: Tensor, rows: Ints, keys: Words, moved: Flags) -> Tensor:
        ids = inputs.cpu().numpy()
        if self.policy == "words":
            lost = lost_words(ids, keys, self.strength, self.special_ids)
            seen = np.where(lost, np.int64(self.mask_id or 0), ids)
        elif self.guesser is not None:
            seen = ids.copy()
            if moved.any():  # the rows as they are ask nothing of the model
                all_ids, chances = self._candidates
                here = Candidates(all_ids[rows[moved]], chances[rows[moved]])
                seen[moved] = guessed_words(ids[moved], keys[moved], self.strength, here, self.special_ids)
        else:
            assert self.neighbours is not None
            seen = exchanged_words(ids, keys, self.strength, self.neighbours.cpu().numpy(), self.special_ids)
        return torch.from_numpy(np.where(moved[:, None], seen, ids)).to(inputs.device)

    @cached_property
    def _neighbourhood(self) -> tuple[Floats, Attributes, Ints]:
        """The pool as numpy (N, D), which of its columns are what, and the row nearest to each: found once."""
        assert self.pool is not None
        pool = self.pool.detach().float().cpu().numpy()
        kinds = attributes(pool.shape[1], self.column_groups, self.columns)
        return pool, kinds, nearest_rows(pool, kinds)

    @cached_property
    def _candidates(self) -> Candidates:
        assert self.guesser is not None
        assert self.pool is not None
        return self.guesser.candidates(self.pool)


def _digest(tensor: Tensor | None) -> str:
    assert tensor is not None
    return xxhash.xxh3_128_hexdigest(tensor.detach().cpu().contiguous().numpy().tobytes())
