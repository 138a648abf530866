"""The protocol of encoders: how raw rows become inputs of nets, and the meaning of each encoded value."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stillhouse.data.source import PixelScale, Raw

if TYPE_CHECKING:
    from stillhouse.data.encoders.text import TextEncoder

MOST_PIXELS = 1024  # of an image whose pixels can be read as columns
IMAGE_CORRUPTIONS = ("noise", "blur", "shift", "contrast")
TABLE_CORRUPTIONS = ("noise", "missing")

Draw: TypeAlias = Callable[[tuple[int, ...]], NDArray[np.bool_]]


class EncodedColumn(NamedTuple):
    """The meaning of one encoded value in the raw row."""

    name: str  # of the raw column
    category: str | None = None  # the value is 1 where the column holds this, else 0; None: it is a number
    mean: float = 0.0
    factor: float = 1.0  # encoded = (raw - mean) * factor


class Readable(NamedTuple):
    """Rows as columns that a person can name."""

    values: NDArray[np.float32]  # (N, F), raw units
    names: tuple[str, ...]  # F
    switches: frozenset[str] = frozenset()  # those of the names that read "column = category" and are 0 or 1


class ImageForm(NamedTuple):
    """The form of raw images that image files can be read into."""

    height: int
    width: int
    channels: int
    channels_last: bool
    scale: PixelScale


class Encoder(Protocol):
    """Turns raw rows into inputs of a net; fitted on the training rows.

    The defaults are those of rows of numbers: without gaps, words or images.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one encoded row."""

    @property
    def fill(self) -> tuple[float, ...]:
        """Encoded value of the empty background, for each channel or one for all; ``Views`` fills with it."""
        return (0.0,)

    @property
    def noise_columns(self) -> tuple[int, ...] | None:
        """Encoded columns that hold numbers, to which ``Views`` may add noise; None: all entries."""
        return None

    @property
    def column_groups(self) -> tuple[tuple[int, ...], ...]:
        """Groups of encoded columns that come from one column of a table."""
        return ()

    @property
    def mask_id(self) -> int | None:
        """Token id that replaces a dropped word; None: rows are not texts."""
        return None

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Token ids that are not part of a text."""
        return (0,)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of a table's input columns; empty for other kinds."""
        return ()

    @property
    def types(self) -> dict[str, str]:
        """The type found for each column of a table; empty for other kinds."""
        return {}

    @property
    def header(self) -> bool:
        """Whether the training data had column names."""
        return False

    @property
    def text(self) -> TextEncoder | None:
        """The encoder itself where rows are texts, which it splits into words and tokens; else None."""
        return None

    @property
    def output_shape(self) -> tuple[int, ...] | None:
        """Shape of a net's outputs for one row; None: the targets say it."""
        return None

    @property
    def key_parts(self) -> dict[str, str]:
        """Further parts of a store's key: what its answers depend on, beside the encoder's whole state."""
        return {}

    @property
    def image_form(self) -> ImageForm | None:
        """The form of raw images, where image files can be read as rows; else None."""
        return None

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions of ``evaluation.robustness`` that fit the rows."""
        return IMAGE_CORRUPTIONS if len(self.shape) in (2, 3) else TABLE_CORRUPTIONS

    def encode(self, raw: Any) -> Tensor:
        """Encode raw rows, (N, ...): float32, but for texts (int64 token ids) and an identity of integers.

        Raises:
            RejectedError: the rows lack columns of the training rows, have another shape, or are not finite.
        """

    def decode(self, inputs: Tensor) -> Raw:
        """Return raw rows for encoded ones, up to rounding, in the form in which they were read.

        ``encode(decode(inputs))`` equals ``inputs`` for encoded rows.
        """

    def state(self) -> dict[str, Any]:
        """Everything as JSON-able values; ``encoder_from_state`` gives an equal encoder."""

    def example(self, count: int, generator: torch.Generator) -> Tensor:
        """Create ``count`` artificial encoded rows of the form of ``encode``, for an exporter to trace."""
        return torch.randn(count, *self.shape, generator=generator)

    def preview(self, raw: Raw) -> dict[str, NDArray[Any]]:
        """Raw rows for a report: ``inputs`` (N, ...) as pixels, numbers or text; of a table also ``columns``."""
        return {"inputs": np.asarray(raw)}

    def columns(self) -> list[EncodedColumn]:
        """The meaning of each value of an encoded row, in the order of the flattened row."""
        places = np.indices(self.shape).reshape(len(self.shape), -1).T.tolist()
        return [EncodedColumn(f"value {','.join(map(str, place))}") for place in places]

    def readable(self, raw: Raw) -> Readable | None:
        """Raw rows as named columns: numbers with gaps filled, categories as switches, pixels.

        None where single values mean nothing: tokens, and images of more than ``MOST_PIXELS`` values.
        """
        values = np.asarray(raw)
        if values.ndim == 2:
            return Readable(values.astype(np.float32), tuple(f"column {i}" for i in range(values.shape[1])))
        if values[0].size > MOST_PIXELS:
            return None
        places = np.indices(values.shape[1:]).reshape(values.ndim - 1, -1).T
        flat = values.reshape(len(values), -1).astype(np.float32)
        return Readable(flat, tuple(f"pixel {','.join(map(str, place))}" for place in places.tolist()))

    def with_gaps(self, raw: Raw, inputs: Tensor, usual: Tensor, draw: Draw) -> Tensor:
        """Encoded rows of which some cells are missing; a missing number becomes the training mean.

        Args:
            raw: N rows.
            inputs: the same rows, encoded.
            usual: (1, ...) the mean of the encoded training rows.
            draw: returns which cells of an array of the given shape are missing.
        """
        return torch.where(torch.from_numpy(draw(tuple(inputs.shape))), usual, inputs)


def one_line(name: str) -> str:
    """A name on one line: rules are read line by line."""
    return " ".join(name.split())
