"""Pixels of image files: every mode and depth, transparent pixels, one scale for all files of a source."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.source import PixelScale
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")  # no other format is decoded, whatever the file's name
_TIFF = (".tif", ".tiff")  # only files of these names are decoded as TIFF
_SEVERAL = ("GIF", "WEBP", "PNG", "TIFF")  # formats that can hold several pictures; JPEG adds previews of the same one
_GREY = ("1", "L", "LA")
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}  # Pillow converts these to others only through these
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: orientation of the camera; these values swap height and width
_DEEPEST = 65535
BACKGROUNDS = {"white": 255, "black": 0, "grey": 128}  # of equal contrasts the first is taken
_DARK = 64  # colours of 16 bits whose upper bytes are all less use too little of their range
_FAINT = 0.1  # contrast in 0..1; where these backgrounds give less, any grey level is tried
# Errors of decoders on damaged files; a decompression bomb raises Pillow's own error or its warning.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error)

Pixels = NDArray[Any]  # uint8 (H, W) or (H, W, 3); uint16 where a picture of the source has more than 8 bits
Found = TypeVar("Found")


class Facts(NamedTuple):
    """What must be known of a picture before any is scaled."""

    size: tuple[int, int]  # height and width when it is upright
    several: bool  # the file holds several pictures: frames or pages
    brightness: float | None = None  # 0..1, of the visible pixels where others are transparent; None: all are opaque
    deep: tuple[float, float] | None = None  # least and greatest value, where a pixel has more than 8 bits
    upper: int | None = None  # greatest upper byte, where a colour has 16 bits, of which only these 8 can be decoded


def each(files: Sequence[Path], folder: Path, look: Callable[[Image.Image], Found]) -> list[Found]:
    """Open and look at each file.

    Raises:
        RejectedError: names the first five files that are no images, damaged, or too large.
    """
    from PIL import Image

    seen, broken = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for file in files:
            try:
                known = (*_FORMATS, "TIFF") if file.suffix.lower() in _TIFF else _FORMATS
                with Image.open(file, formats=known) as image:
                    seen.append(look(image))
            except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                broken.append((file.relative_to(folder).as_posix(), " ".join(str(error).split())))
    if broken:
        names = ", ".join(name for name, _ in broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        raise RejectedError(
            f"{folder}: {len(broken)} of {len(files)} files cannot be read as images: {names}. The first: "
            f"{broken[0][1].rstrip('.')}. Fix or remove them."
        )
    return seen


def facts(image: Image.Image) -> Facts:
    """Look at a picture; only one with transparent pixels or more than 8 bits is decoded."""
    halved = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))  # known until the picture is decoded
    turned = image.getexif().get(_ORIENTATION) in _TURNED
    size = (image.width, image.height) if turned else (image.height, image.width)
    seen = Facts(size, image.format in _SEVERAL and getattr(image, "n_frames", 1) > 1)
    if _is_deep(image):
        values = _deep_values(image)
        return seen._replace(deep=(float(values.min()), float(values.max())))
    if halved:
        seen = seen._replace(upper=int(np.asarray(image).max()))
    if not image.has_transparency_data:
        return seen
    colours = _with_alpha(image)
    alpha = np.asarray(colours.getchannel("A"), np.float64)
    if alpha.min() == 255 or alpha.max() == 0:
        return seen
    grey = np.asarray(colours.convert("RGB").convert("L"), np.float64)
    return seen._replace(brightness=float((grey * alpha).sum() / alpha.sum() / 255))


def scale_for(seen: Sequence[Facts]) -> PixelScale:
    """One scale for all pictures of a source.

    Transparent pixels are laid over white, black or grey, or over another grey level where some picture would vanish on
    each of these: where the least contrast of a picture is greatest. Pictures
    of more than 8 bits are scaled from the range that they use; it is 0 to 255 where they hold no more than others.

    Raises:
        RejectedError: colours of 16 bits are so dark that nothing would be left of them.
    """
    upper = [one.upper for one in seen if one.upper is not None]
    if upper and max(upper) < _DARK:
        raise RejectedError(
            f"{len(upper)} colour images have 16 bits a channel, and their values are at most {256 * max(upper) + 255} "
            f"of {_DEEPEST}. Only the upper 8 bits of such colours can be read, which would be black. Save them with 8 "
            "bits a channel, scaled to 0 to 255."
        )
    tones = [one.brightness for one in seen if one.brightness is not None]
    deep = [one.deep for one in seen if one.deep is not None]
    background = None
    if tones:
        contrast = {level: min(abs(tone - level / 255) for tone in tones) for level in BACKGROUNDS.values()}
        if max(contrast.values()) < _FAINT:
            contrast |= {level: min(abs(tone - level / 255) for tone in tones) for level in range(256)}
        background = max(contrast, key=lambda level: contrast[level])
    if not deep:
        return PixelScale(background)
    least, greatest = min(low for low, _ in deep), max(high for _, high in deep)
    if len(deep) < len(seen) and least >= 0 and 1 < greatest <= 255:
        least, greatest = 0.0, 255.0
    return PixelScale(background, (least, greatest if greatest > least else least + 1.0))


def scale_lines(seen: Sequence[Facts], scale: PixelScale) -> list[str]:
    """What is done to the pictures of a source, a line each."""
    counts = {
        "clear": sum(one.brightness is not None for one in seen),
        "deep": sum(one.deep is not None for one in seen),
        "several": sum(one.several for one in seen),
    }
    lines = []
    if counts["clear"]:
        named = {level: name for name, level in BACKGROUNDS.items()}
        name = named.get(scale.background or 0, f"the grey level {scale.background} of 255")
        lines.append(f"transparent pixels of {counts['clear']} images are laid over {name}")
    if scale.deep is not None:
        least, greatest = scale.deep
        others = f"; 0 to 255 in the other {len(seen) - counts['deep']}" if counts["deep"] < len(seen) else ""
        lines.append(
            f"{counts['deep']} images have more than 8 bits a pixel: the range that they use, {least:g} to "
            f"{greatest:g}, is scaled to 0 to {_DEEPEST}, the same for all{others}"
        )
    if cut := sum(one.upper is not None for one in seen):
        lines.append(f"{cut} colour images have 16 bits a channel, of which the upper 8 are read")
    if counts["several"]:
        lines.append(f"{counts['several']} files hold several pictures; the first of each is read")
    return lines


def most_frequent(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The most frequent size; of several the largest."""
    counts = Counter(sizes)
    return max(counts, key=lambda size: (counts[size], size[0] * size[1], size))


def pixels(image: Image.Image, size: tuple[int, int], scale: PixelScale) -> Pixels:
    """Pixels (H, W) of a grey picture, or of one whose three channels are equal; else (H, W, 3).

    Args:
        image: of any mode; it is turned upright.
        size: (height, width) to which it is resized (bilinear).
        scale: of all pictures of the source.
    """
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if _is_deep(upright):
        return _resized(_scaled(_deep_values(upright), scale), size)
    if upright.has_transparency_data:
        colours = _with_alpha(upright)
        level = BACKGROUNDS["white"] if scale.background is None else scale.background
        behind = Image.new("RGBA", colours.size, (level, level, level, 255))
        upright = Image.alpha_composite(behind, colours).convert("RGB")
    plain = upright.convert("L" if upright.mode in _GREY else "RGB")
    if plain.size != (size[1], size[0]):
        plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    found: Pixels = np.asarray(plain, np.uint8)
    if found.ndim == 3 and (found == found[..., :1]).all():
        found = found[..., 0]
    return found if scale.deep is None else found.astype(np.uint16) * (_DEEPEST // 255)


def in_channels(found: Pixels, colour: bool) -> Pixels:
    """The pixels with three channels (H, W, 3), or with none (H, W)."""
    from PIL import Image

    if colour:
        return np.repeat(found[..., None], 3, axis=2) if found.ndim == 2 else found
    if found.ndim == 2 or found.dtype == np.uint8:
        return found if found.ndim == 2 else np.asarray(Image.fromarray(found).convert("L"))
    grey: Pixels = np.rint(found @ np.array([0.299, 0.587, 0.114])).astype(found.dtype)  # Pillow's weights
    return grey


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith(("I", "F"))


def _deep_values(image: Image.Image) -> NDArray[np.float64]:
    values = np.asarray(image).astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a pixel is NaN or infinite")
    return values


def _scaled(values: NDArray[np.float64], scale: PixelScale) -> NDArray[np.float64]:
    if scale.deep is None:
        raise ValueError(
            "a pixel has more than 8 bits, but no training picture had, so that its range is unknown: save it with 8 "
            "bits"
        )
    least, greatest = scale.deep
    scaled: NDArray[np.float64] = _DEEPEST * ((values - least) / (greatest - least)).clip(0, 1)
    return scaled


def _resized(values: NDArray[np.float64], size: tuple[int, int]) -> Pixels:
    from PIL import Image

    if values.shape != size:
        values = np.asarray(
            Image.fromarray(values.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        )
    return np.rint(values).astype(np.uint16)


def _with_alpha(image: Image.Image) -> Image.Image:
    plain = image.convert(_PREMULTIPLIED[image.mode]) if image.mode in _PREMULTIPLIED else image
    return plain.convert("RGBA")
