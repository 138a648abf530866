"""Letters of fonts, turned and stretched, for pictures of writing or signs; no digits, unless you ask for them.

The fonts are those of a folder of yours, else those that Matplotlib brings along. Each picture shows one letter in a
random font, turned, sheared and stretched at random, in the middle of the picture.
"""

from __future__ import annotations

import math
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from string import ascii_letters

import numpy as np
import xxhash
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stillhouse.data.source import Ints, Raw
from stillhouse.errors import UsageError
from stillhouse.makers.base import Form, Maker, Pictures, draws

_DRAWN = 74  # stream of random words
_SIZE = 64  # pixels of the letters before they are placed
_FONTS = ("DejaVu", "STIXGeneral", "cmr10", "cmss10", "cmtt10", "cmb10")  # of Matplotlib's, those that hold letters
_ODD = "Display"  # decorative ones
_BLOCK = 256


class Glyphs(Maker):
    """Letters of fonts.

    Args:
        folder: of fonts (.ttf, .otf); empty: those of Matplotlib.
        letters: what is drawn; by default the Latin letters.
        fill: least and greatest height of a letter, as shares of the picture's height.
        turn: most degrees by which a letter is turned or sheared.
    """

    prior = "somebody knew that these are signs like letters on an empty ground"
    kinds = frozenset({"image"})
    rank = 20

    def __init__(
        self,
        *,
        folder: str = "",
        letters: str = ascii_letters,
        fill: tuple[float, float] = (0.55, 0.8),
        turn: float = 15.0,
    ) -> None:
        if not letters.strip():
            raise ValueError('letters is empty. Write `letters = "abc"`, or remove the line.')
        if not 0 < fill[0] <= fill[1] <= 1:
            raise ValueError("fill holds two shares above 0 and up to 1, the least first.")
        self.folder, self.letters, self.fill, self.turn = folder, letters, fill, turn

    def check(self, form: Form) -> None:
        """Refuse where there is no font."""
        _ = self.fonts

    def key(self) -> str:
        """The content of the fonts of a folder."""
        digest = xxhash.xxh3_64()
        for font in self.fonts if self.folder else ():
            digest.update(font.read_bytes())
        return digest.hexdigest() if self.folder else ""

    @cached_property
    def fonts(self) -> list[Path]:
        """The files of the fonts, sorted by name.

        Raises:
            UsageError: there are none.
        """
        if self.folder:
            found = sorted(p for p in Path(self.folder).rglob("*") if p.suffix.lower() in (".ttf", ".otf"))
            if not found:
                raise UsageError(
                    f"[[made]] 'glyphs', folder = {self.folder!r} holds no .ttf or .otf file. Name a folder of fonts."
                )
            return found
        spec = find_spec("matplotlib")
        home = None if spec is None or spec.origin is None else Path(spec.origin).parent / "mpl-data/fonts/ttf"
        fonts = [] if home is None else sorted(home.glob("*.ttf"))
        chosen = [font for font in fonts if font.name.startswith(_FONTS) and _ODD not in font.name]
        if not chosen:
            raise UsageError(
                "[[made]] 'glyphs' draws letters with the fonts of Matplotlib, which is not installed. Install it "
                '(`pip install matplotlib`), or name your own fonts: `folder = "fonts"`.'
            )
        return chosen

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Pictures of letters."""
        blocks = [self.drawn(form.sides, ids[start : start + _BLOCK], seed) for start in range(0, len(ids), _BLOCK)]
        pictures = np.concatenate([np.zeros((0, *form.sides), np.float32), *blocks])
        return form.from_pictures(pictures, ids, seed)

    @cached_property
    def drawn_letters(self) -> dict[tuple[int, int], NDArray[np.uint8]]:
        """Letters that were drawn, by font and letter."""
        return {}

    def letter(self, font: int, letter: int) -> NDArray[np.uint8]:
        """One letter, cut to what is drawn, _SIZE pixels high or wide."""
        key = font, letter
        if key not in self.drawn_letters:
            face = ImageFont.truetype(str(self.fonts[font]), _SIZE)
            canvas = Image.new("L", (3 * _SIZE, 3 * _SIZE))
            ImageDraw.Draw(canvas).text((_SIZE, _SIZE), self.letters[letter], 255, font=face)
            box = canvas.getbbox()
            self.drawn_letters[key] = np.asarray(canvas.crop(box) if box else canvas.crop((0, 0, 1, 1)))
        return self.drawn_letters[key]

    def drawn(self, sides: tuple[int, int], ids: Ints, seed: int) -> Pictures:
        """Pictures (n, H, W) in [0, 1]."""
        parts = draws(seed, _DRAWN, ids, 8)
        pictures = np.zeros((len(ids), *sides), np.float32)
        for place, own in enumerate(parts.tolist()):
            font, letter = int(own[0] * len(self.fonts)), int(own[1] * len(self.letters))
            pictures[place] = self.placed(self.letter(font, letter), sides, own[2:])
        return pictures

    def placed(self, letter: NDArray[np.uint8], sides: tuple[int, int], own: list[float]) -> NDArray[np.float32]:
        """A letter (h, w) in a picture of these sides: turned, sheared, stretched, moved by numbers of [0, 1)."""
        height, width = sides
        low, high = self.fill
        size = height * (low + (high - low) * own[0])
        wide = min(size * letter.shape[1] / letter.shape[0] * (0.75 + 0.5 * own[1]), width * self.fill[1])
        angle, slope = (math.radians(self.turn * (2 * share - 1)) for share in own[2:4])
        x, y = ((2 * share - 1) * 0.05 * side for share, side in zip(own[4:6], (width, height), strict=True))
        # From a place of the picture back to one of the letter; drawn at four times the size, then averaged.
        cos, sin, lean, fine = math.cos(angle), math.sin(angle), math.tan(slope), 4
        across, down = letter.shape[1] / wide / fine, letter.shape[0] / size / fine
        a, b, c, d = across * (cos + lean * sin), across * (sin - lean * cos), -down * sin, down * cos
        x0, y0 = fine * (width / 2 + x), fine * (height / 2 + y)
        matrix = (a, b, letter.shape[1] / 2 - a * x0 - b * y0, c, d, letter.shape[0] / 2 - c * x0 - d * y0)
        large = Image.fromarray(letter).transform(
            (fine * width, fine * height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        small: NDArray[np.float32] = np.asarray(large.reduce(fine), np.float32) / np.float32(255)
        return small


MAKER = Glyphs
