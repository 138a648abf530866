"""Augmented views that replay: a view is a function of (row, view, seed) alone, so teacher and student see the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
import torch
import xxhash
from torch import Tensor

from stillhouse.data.splitmix import Words, stream, words
from stillhouse.errors import UsageError, nearest

Policy: TypeAlias = Literal["none", "shift", "noise", "mixup"]

_POLICIES = ("none", "shift", "noise", "mixup")
_SHIFT, _NOISE, _MIXUP = 11, 12, 13  # each policy draws from its own stream


@dataclass(frozen=True)
class Views:
    """The views of a run. View 0 is the row as it is.

    ``shift`` moves an image by whole pixels, each axis uniform in ``-strength .. strength``, and fills the uncovered
    border. ``noise`` adds Gaussian noise of standard deviation ``strength`` to the numeric columns (after
    standardisation: in units of the training rows' deviation). ``mixup`` blends the row with another training row,
    ``c * row + (1 - c) * partner``; the partner and c, uniform in [0, 1), follow from (row, view, seed). This is the
    view of function matching (Beyer, Zhai, Royer, Markeeva, Anil, Kolesnikov, "Knowledge distillation: A good teacher
    is patient and consistent", CVPR 2022): both nets are asked about the very same blend, it has no label, and the
    training is long. Give it many views and many steps. The paper blends augmented crops; here rows as they are.

    Args:
        policy: "none", "shift", "noise" or "mixup".
        count: views a row, the row as it is included.
        strength: pixels at most (rounded down), or standard deviation; mixup has none.
        seed: of all views.
        fill: value of the uncovered border, one for all channels or one each (``Encoder.fill``).
        columns: encoded columns that get noise (``Encoder.noise_columns``); None: all entries.
        pool: all training rows (N, ...), by row id, among which mixup finds its partners.

    Raises:
        UsageError: no such policy, no view at all, or mixup without a pool.
    """

    policy: Policy
    count: int
    strength: float
    seed: int
    fill: float | tuple[float, ...] = 0.0
    columns: tuple[int, ...] | None = None
    pool: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.policy not in _POLICIES:
            raise UsageError(f"[views] policy: there is no {self.policy!r}.{nearest(self.policy, _POLICIES)}")
        if self.count < 1 or not self.strength >= 0:
            raise UsageError(
                f"[views] count = {self.count}, strength = {self.strength}: there is at least one view, the row as it "
                "is, and strength is not negative."
            )
        if self.policy == "mixup" and self.pool is None:
            raise UsageError('Views("mixup", ...) blends rows with others: give all training rows as `pool=inputs`.')

    @property
    def labelled(self) -> int:
        """How many of a row's views keep its label: all, but of mixup the row as it is alone."""
        return 1 if self.policy == "mixup" else self.count

    def targets(self, targets: Tensor, views: Tensor) -> Tensor:
        """The labels (B,) of these views of rows with these labels; -1 where a view has none."""
        return targets if self.labelled == self.count else torch.where(views.to(targets.device) == 0, targets, -1)

    def apply(self, inputs: Tensor, rows: Tensor, views: Tensor) -> Tensor:
        """Return the views of a batch.

        Args:
            inputs: (B, ...) the rows as they are, floating.
            rows: (B,) int64 row ids.
            views: (B,) int64, 0 for the row as it is.

        Returns:
            the shape, type and device of ``inputs``; the same values for any batching.

        Raises:
            UsageError: shift on rows that are not images, or noise or mixup on integers.
        """
        if self.policy == "none" or self.count == 1 or not len(inputs):
            return inputs
        if self.policy == "mixup":
            return self._mixup(inputs, rows, views)
        keys = words(self.seed, _SHIFT if self.policy == "shift" else _NOISE, rows.cpu().numpy(), views.cpu().numpy())
        moved = (views != 0).cpu().numpy()
        return self._shift(inputs, keys, moved) if self.policy == "shift" else self._noise(inputs, keys, moved)

    def describe(self) -> str:
        """Everything that determines the views, for the key of a store."""
        if self.policy == "none" or self.count == 1:
            return "none"
        if self.policy == "mixup":
            # A blend depends on its partner's contents too, so every row of the pool belongs to what is described.
            assert self.pool is not None
            contents = xxhash.xxh3_128_hexdigest(self.pool.detach().cpu().contiguous().numpy().tobytes())
            return f"mixup count={self.count} seed={self.seed} pool={contents} splitmix64-1"
        return (
            f"{self.policy} count={self.count} strength={self.strength:g} seed={self.seed} "
            f"fill={self.fill!r} columns={self.columns!r} splitmix64-1"
        )

    def _shift(self, inputs: Tensor, keys: Words, moved: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tensor:
        if inputs.dim() < 3:
            raise UsageError(
                f'[views] policy = "shift" moves images, but a row has the shape {tuple(inputs.shape[1:])}. '
                'Write `policy = "noise"` or "none".'
            )
        reach = int(self.strength)
        span = np.uint64(2 * reach + 1)
        low, high = keys & np.uint64(0xFFFF_FFFF), keys >> np.uint64(32)
        down, right = ((half * span >> np.uint64(32)).astype(np.int64) for half in (low, high))
        offsets = np.stack([np.where(moved, part, reach) for part in (down, right)])
        return shift(inputs, torch.from_numpy(offsets).to(inputs.device), reach, self.fill)

    def _mixup(self, inputs: Tensor, rows: Tensor, views: Tensor) -> Tensor:
        if not inputs.is_floating_point():
            raise UsageError(
                f'[views] policy = "mixup" needs numbers with fractions, not {inputs.dtype}. Write "none".'
            )
        assert self.pool is not None
        drawn = stream(words(self.seed, _MIXUP, rows.cpu().numpy(), views.cpu().numpy()), 2)
        partners = (drawn[:, 0] % np.uint64(len(self.pool))).astype(np.int64)
        share = (drawn[:, 1] >> np.uint64(40)).astype(np.float32) / np.float32(2**24)  # 24 bits: exact in float32
        share[(views == 0).cpu().numpy()] = 1.0
        own = torch.from_numpy(share).to(inputs).view(-1, *[1] * (inputs.dim() - 1))
        others = self.pool[torch.from_numpy(partners).to(self.pool.device)].to(inputs)
        return own * inputs + (1 - own) * others

    def _noise(self, inputs: Tensor, keys: Words, moved: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tensor:
        if not inputs.is_floating_point():
            raise UsageError(
                f'[views] policy = "noise" needs numbers with fractions, not {inputs.dtype}. Write "none".'
            )
        flat = inputs.flatten(1).clone()
        columns = slice(None) if self.columns is None else list(self.columns)
        width = flat[:, columns].shape[1]
        noise = _normal(keys, width) * np.float32(self.strength)
        noise[~moved] = 0.0
        flat[:, columns] += torch.from_numpy(noise).to(flat)
        return flat.view_as(inputs)


def shift(inputs: Tensor, offsets: Tensor, reach: int, fill: float | Sequence[float]) -> Tensor:
    """Cut each image out of its padded self, by one gather.

    Args:
        inputs: (B, ..., H, W).
        offsets: (2, B) int64 in 0 .. 2*reach: where the window begins, down and right; ``reach`` changes nothing.
        reach: width of the border.
        fill: of the border, one value or one a channel.

    Returns:
        the shape of ``inputs``.
    """
    batch, height, width = len(inputs), *inputs.shape[-2:]
    planes = inputs.reshape(batch, -1, height, width)
    channels, high, wide = planes.shape[1], height + 2 * reach, width + 2 * reach
    border = torch.as_tensor(fill, dtype=inputs.dtype, device=inputs.device).view(1, -1, 1, 1)
    padded = border.expand(batch, channels, high, wide).contiguous()
    padded[:, :, reach : reach + height, reach : reach + width] = planes
    # Every run of `width` neighbours is a row of this overlapping view, so one gather moves whole lines of pixels.
    runs = padded.view(-1).as_strided((padded.numel() - width + 1, width), (1, 1))
    corner = torch.arange(batch * channels, device=inputs.device).view(batch, channels) * (high * wide)
    corner = corner + (offsets[0] * wide + offsets[1])[:, None]
    lines = corner[..., None] + torch.arange(height, device=inputs.device) * wide
    return runs.index_select(0, lines.flatten()).view_as(inputs)


def _normal(keys: Words, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Standard normal numbers, float32 (len(keys), count), from 16 bits each by inversion.

    A table look-up has no rounding that depends on where a number stands in a vector, as a vectorised logarithm may:
    the replay is exact.
    """
    bits = stream(keys, -(-count // 4)).view(np.uint16)
    return _quantiles()[bits[:, :count]]


@cache
def _quantiles() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Medians of 65,536 slices of equal probability of the standard normal distribution, (65536,)."""
    inverse = NormalDist().inv_cdf
    upper = np.array([inverse((i + 0.5) / 65536) for i in range(32768, 65536)], np.float32)
    return np.concatenate([-upper[::-1], upper])
