"""Encoders of images, of plain arrays, and of the user's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.encoders.base import EncodedColumn, Encoder, ImageForm
from stillhouse.data.encoders.standard import Scale, fit_scale
from stillhouse.data.inputs import check_finite, numbers
from stillhouse.data.source import PixelScale
from stillhouse.errors import RejectedError

_CHANNELS = (1, 3, 4)  # sizes of a last axis that can only be channels
_HALF_A_BYTE = 127  # arrays of bytes that stay below have another range than image files, such as 0 to 16


@dataclass(frozen=True)
class ImageEncoder(Encoder):
    """Images as (N, C, H, W), each channel standardised by the training rows' mean and standard deviation."""

    channels_last: bool  # raw images are (N, H, W, C)
    scale: Scale  # one entry a channel
    shape: tuple[int, ...] = ()  # (C, H, W)
    fill: tuple[float, ...] = (0.0,)  # the least value of each channel in training, encoded: usually black
    plain: bool = False  # raw images are (N, H, W)
    dtype: str = "float32"  # of the raw images
    pixels: PixelScale | None = None  # how image files become such images; None: they cannot

    @property
    def image_form(self) -> ImageForm | None:
        """The form of raw images as files hold them, grey or with three colours."""
        channels, height, width = self.shape
        if self.pixels is None or channels not in (1, 3):
            return None
        return ImageForm(height, width, channels, self.channels_last, self.pixels)

    @classmethod
    def fit(cls, raw: NDArray[Any], pixels: PixelScale | None = None) -> ImageEncoder:
        """Fit on raw images (N, H, W), (N, C, H, W), or (N, H, W, C) where C is 1, 3 or 4.

        Args:
            raw: the images.
            pixels: of image files; None: the images come as an array. Bytes that use their range are like files.
        """
        if pixels is None and raw.dtype == np.uint8 and raw.max() > _HALF_A_BYTE:
            pixels = PixelScale()
        last = raw.ndim == 4 and raw.shape[-1] in _CHANNELS and raw.shape[1] not in _CHANNELS
        images = np.moveaxis(raw, -1, 1) if last else raw.reshape(len(raw), -1, *raw.shape[-2:])
        scale = fit_scale(images)
        least = images.min((0, 2, 3))[None]
        fill = tuple(scale.apply(least)[0].tolist())
        return cls(last, scale, images.shape[1:], fill, raw.ndim == 3, raw.dtype.name, pixels)

    def encode(self, raw: Any) -> Tensor:
        """Encode (N, H, W), (N, C, H, W), rows of C*H*W columns, or the (N, H, W, C) that was fitted."""
        values = numbers(raw)
        images = self._planes(values)
        check_finite(values, "the images")
        return torch.from_numpy(self.scale.apply(images))

    def decode(self, inputs: Tensor) -> NDArray[Any]:
        """Return images (N, H, W), (N, C, H, W) or (N, H, W, C), of the type and with the axes of the training images.

        Whole-number types are rounded, and cut to their range.
        """
        images = _typed(unscaled(self.scale, inputs), self.dtype)
        if self.channels_last:
            return np.moveaxis(images, 1, -1)
        return images[:, 0] if self.plain else images

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "kind": "image", "shape": list(self.shape), "channels_last": self.channels_last, "plain": self.plain,
            "dtype": self.dtype, "scale": self.scale.state(), "fill": list(self.fill), "pixels": self.pixels,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ImageEncoder:
        """Rebuild from ``state``."""
        scale, shape, fill = Scale.from_state(state["scale"]), tuple(state["shape"]), tuple(state["fill"])
        dtype, given = np.dtype(state.get("dtype", "float32")).name, state.get("pixels")
        older = PixelScale() if dtype == "uint8" and "pixels" not in state else None
        pixels = older if given is None else PixelScale(given[0], given[1] and tuple(given[1]))
        return cls(bool(state["channels_last"]), scale, shape, fill, bool(state.get("plain", False)), dtype, pixels)

    def _planes(self, values: NDArray[Any]) -> NDArray[Any]:
        channels, height, width = self.shape
        given = values.shape[1:]
        if self.channels_last and given == (height, width, channels):
            return np.moveaxis(values, -1, 1)
        if given in (self.shape, (channels * height * width,)) or (channels == 1 and given == (height, width)):
            return values.reshape(len(values), *self.shape)
        raise wrong_shape(values.shape, f"(N, {channels}, {height}, {width})")


@dataclass(frozen=True)
class ArrayEncoder(Encoder):
    """Columns of numbers, each standardised by the training rows' mean and standard deviation."""

    scale: Scale

    @property
    def shape(self) -> tuple[int, ...]:
        """(D,)."""
        return (len(self.scale.mean),)

    @property
    def noise_columns(self) -> tuple[int, ...]:
        """All columns that varied in training."""
        return self.scale.varying()

    def columns(self) -> list[EncodedColumn]:
        """Each column in the units of the training rows."""
        scale = zip(self.scale.mean, self.scale.factor, strict=True)
        return [EncodedColumn(f"column {i}", None, mean, factor) for i, (mean, factor) in enumerate(scale)]

    @classmethod
    def fit(cls, raw: NDArray[Any]) -> ArrayEncoder:
        """Fit on raw rows (N, D)."""
        return cls(fit_scale(raw))

    def encode(self, raw: Any) -> Tensor:
        """Encode (N, D)."""
        values = numbers(raw)
        if values.shape[1:] != self.shape:
            raise wrong_shape(values.shape, f"(N, {self.shape[0]})")
        check_finite(values, "the rows")
        return torch.from_numpy(self.scale.apply(values))

    def decode(self, inputs: Tensor) -> NDArray[np.float64]:
        """Return rows (N, D) in the units of the training rows; a column that never varied has its one value."""
        return unscaled(self.scale, inputs)

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        return {"kind": "array", "scale": self.scale.state()}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> ArrayEncoder:
        """Rebuild from ``state``."""
        return cls(Scale.from_state(state["scale"]))


@dataclass(frozen=True)
class IdentityEncoder(Encoder):
    """The user's tensors, unchanged: the user's modules get exactly the tensors of the user's loader."""

    shape: tuple[int, ...] = ()
    fill: tuple[float, ...] = (0.0,)  # the least training value
    integers: tuple[str, int] | None = None  # of whole numbers: their type, and the greatest training value

    @classmethod
    def fit(cls, raw: NDArray[Any]) -> IdentityEncoder:
        """Read only the background value from the training rows (N, ...)."""
        least = (float(raw.min()) if raw.size else 0.0,)
        integers = (raw.dtype.name, int(raw.max()) if raw.size else 0) if raw.dtype.kind in "biu" else None
        return cls(raw.shape[1:], least, integers)

    def encode(self, raw: Any) -> Tensor:
        """Return (N, ...) as float32, integers (token ids, bytes) with their own type."""
        values = numbers(raw)
        if values.shape[1:] != self.shape:
            raise wrong_shape(values.shape, f"(N, {', '.join(map(str, self.shape))})")
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is reported below
            plain = values.astype(np.float32) if values.dtype.kind == "f" else values
        check_finite(plain, "the inputs")
        return torch.from_numpy(np.array(plain))

    def decode(self, inputs: Tensor) -> NDArray[Any]:
        """Return the rows as they are."""
        return inputs.detach().cpu().numpy()

    def example(self, count: int, generator: torch.Generator) -> Tensor:
        """Standard normal numbers; of whole numbers any between the least and the greatest in training."""
        if self.integers is None:
            return torch.randn(count, *self.shape, generator=generator)
        name, greatest = self.integers
        drawn = torch.randint(int(self.fill[0]), greatest + 1, (count, *self.shape), generator=generator)
        return torch.from_numpy(drawn.numpy().astype(name))

    def state(self) -> dict[str, Any]:
        """JSON-able."""
        state: dict[str, Any] = {"kind": "identity", "shape": list(self.shape), "fill": list(self.fill)}
        return state if self.integers is None else state | {"integers": list(self.integers)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> IdentityEncoder:
        """Rebuild from ``state``."""
        integers = state.get("integers")
        own = None if integers is None else (str(integers[0]), int(integers[1]))
        return cls(tuple(state["shape"]), tuple(state["fill"]), own)


def unscaled(scale: Scale, inputs: Tensor) -> NDArray[np.float64]:
    """Undo ``scale.apply`` on (N, K, ...), in float64."""
    values = inputs.detach().cpu().double().numpy()
    form = (1, -1) + (1,) * (values.ndim - 2)
    factor = np.array(scale.factor)
    deviation = np.divide(1.0, factor, out=np.zeros_like(factor), where=factor != 0)
    undone: NDArray[np.float64] = values * deviation.reshape(form) + np.reshape(scale.mean, form)
    return undone


def _typed(values: NDArray[np.float64], dtype: str) -> NDArray[Any]:
    kind = np.dtype(dtype).kind
    if kind == "b":
        return values >= 0.5
    if kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype)


def wrong_shape(given: tuple[int, ...], wanted: str) -> RejectedError:
    """Make the error for rows of another shape than the training rows."""
    hint = " For a single row add an axis: `row[None]`." if len(given) == wanted.count(",") else ""
    return RejectedError(
        f"The rows have the shape {given}, but the student was trained on {wanted}.{hint} Fix the rows."
    )
