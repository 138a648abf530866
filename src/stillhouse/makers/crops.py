"""Crops of a folder of unrelated pictures of yours, turned grey where the rows are grey.

Each row is a random part of a random picture, scaled to the size of the rows and mirrored at random.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import xxhash
from PIL import Image, UnidentifiedImageError

from stillhouse.data.source import Ints, Raw
from stillhouse.errors import RejectedError, UsageError
from stillhouse.makers.base import Form, Maker, draws

_DRAWN = 75  # stream of random words
_FILES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
_MOST_SIDE = 512  # a larger picture is scaled down first: the crops are small


class Crops(Maker):
    """Crops of unrelated pictures.

    Args:
        folder: of pictures, with its subfolders.
        least: the least side of a crop, as a share of the picture's shorter side.
        invert: how often a crop is inverted, as a share: for rows with a dark and rows with a light ground.
    """

    prior = "somebody had other pictures, which show something else"
    kinds = frozenset({"image"})
    rank = 5

    def __init__(self, *, folder: str, least: float = 0.15, invert: float = 0.0) -> None:
        if not (0 < least <= 1 and 0 <= invert <= 1):
            raise ValueError("least is a share above 0 and up to 1, and invert one from 0 to 1.")
        self.folder, self.least, self.invert = folder, least, invert

    def check(self, form: Form) -> None:
        """Refuse a folder without pictures, and rows of other than one or three channels."""
        _ = self.files
        if form.channels not in (1, 3):
            raise UsageError(
                f"[[made]] 'crops' makes grey or colour pictures, and these have {form.channels} channels. "
                "Take 'blobs'."
            )

    def key(self) -> str:
        """The content of the folder."""
        digest = xxhash.xxh3_64()
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    @cached_property
    def files(self) -> list[Path]:
        """The pictures, sorted by name.

        Raises:
            UsageError: there are none.
        """
        found = sorted(p for p in Path(self.folder).rglob("*") if p.suffix.lower() in _FILES)
        if not found:
            raise UsageError(
                f"[[made]] 'crops', folder = {self.folder!r} holds no picture ({', '.join(sorted(_FILES))}). Name a "
                "folder of pictures."
            )
        return found

    def picture(self, number: int, mode: str) -> Image.Image:
        """One picture, grey ("L") or in colour ("RGB")."""
        if (number, mode) not in self._opened:
            try:
                with Image.open(self.files[number]) as file:
                    file.draft(mode, (_MOST_SIDE, _MOST_SIDE))
                    opened = file.convert(mode)
            except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
                raise RejectedError(
                    f"{self.files[number]} is no picture: {error}. Remove it from the folder."
                ) from None
            opened.thumbnail((_MOST_SIDE, _MOST_SIDE))
            self._opened[number, mode] = opened
        return self._opened[number, mode]

    @cached_property
    def _opened(self) -> dict[tuple[int, str], Image.Image]:
        return {}

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Crops."""
        height, width = form.sides
        mode = "L" if form.channels == 1 else "RGB"
        planes = np.zeros((len(ids), form.channels, height, width), np.float32)
        for place, own in enumerate(draws(seed, _DRAWN, ids, 6).tolist()):
            picture = self.picture(int(own[0] * len(self.files)), mode)
            scale = min(picture.width / width, picture.height / height) * (self.least + (1 - self.least) * own[1])
            wide, high = width * scale, height * scale
            left, top = own[2] * (picture.width - wide), own[3] * (picture.height - high)
            crop = picture.resize((width, height), Image.Resampling.BILINEAR, (left, top, left + wide, top + high))
            pixels = np.asarray(crop, np.float32).reshape(height, width, -1).transpose(2, 0, 1) / np.float32(255)
            pixels = pixels[:, :, ::-1] if own[4] < 0.5 else pixels
            planes[place] = 1 - pixels if own[5] < self.invert else pixels
        return form.from_planes(planes)


MAKER = Crops
