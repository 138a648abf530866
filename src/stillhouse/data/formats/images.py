"""Folders of images: a subfolder for each class, and one for the images without a label."""

from __future__ import annotations

import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.files.format import Format, Inputs, Wanted
from stillhouse.data.on_disk.mapped import ARRAY, open_array, write_array
from stillhouse.data.source import Source
from stillhouse.data.targets import TargetCells
from stillhouse.errors import RejectedError, UsageError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")  # no other format is decoded, whatever the file's name
_TRAIN, _TEST, _VALID = ("train", "training"), ("test",), ("valid", "validation", "val")
_GREY = ("1", "L", "LA", "La")
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # EXIF: orientation of the camera; these values swap height and width
# Errors of decoders on damaged files; a decompression bomb raises Pillow's own error or its warning.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error)

Pixels = NDArray[np.uint8]


class _File(NamedTuple):
    path: Path
    label: str | None
    test: bool


def read_image_folder(
    folder: Path, wanted: Wanted, *, unlabelled: str = "unlabelled", size: tuple[int, int] | None = None
) -> Source:
    """Read PNG, JPEG, BMP, GIF (first frame) and WebP images, the name of the subfolder as the class.

    Images of the subfolder ``unlabelled`` and those directly in the folder have no label. If the folder holds ``train``
    and ``test`` (and ``valid``), the classes are the subfolders of these, and the test is fixed; rows of ``valid`` are
    divided together with those of ``train``. Transparency is dropped, images are turned by their EXIF orientation, and
    16 bits become 8. Other files, and names that start with a dot, are skipped.

    Args:
        folder: of the images.
        wanted: the task reads the names of the subfolders; with a ``room`` the pixels are on disk there, and each
            image is decoded twice.
        unlabelled: name of the subfolder without labels.
        size: (height, width) of all; None: the most frequent size. Other images are resized (bilinear) with a
            ``UserWarning``.

    Returns:
        a source of kind "image": uint8 (N, H, W) where all are grey, else (N, H, W, 3); ``kept["file"]`` holds the
        paths in the folder.

    Raises:
        RejectedError: no folder, no images, a class without one, or files that are not images or too large; names them.
    """
    files = _find(folder, unlabelled)
    sizes = _each(files, folder, _size)
    chosen = size or _most_frequent(sizes)
    odd = sum(found != chosen for found in sizes)
    if odd:
        warnings.warn(
            f"{folder}: {odd} of {len(files)} images are not {chosen[0]} x {chosen[1]} pixels (height x width) and "
            "were resized to that; their proportions may have changed.",
            stacklevel=2,
        )
    if wanted.room is None:
        raw = _together(_each(files, folder, lambda image: _pixels(image, chosen)))
    else:
        raw = _written(files, folder, chosen, wanted.room / ARRAY)
    labels = np.array([file.label for file in files], object)
    cells = TargetCells("names", labels, len(files), str(folder), str(folder), no_label=wanted.no_label)
    read = wanted.read_targets(cells, wanted.classes)
    test = np.flatnonzero([file.test and file.label is not None for file in files]) if _has_test(files) else None
    names = np.array([file.path.relative_to(folder).as_posix() for file in files], object)
    kept, shape = {"file": names}, raw.shape[1:]
    return Source(raw, read.values, read.names, "image", folder.name, shape, test, kept=kept, label_values=read.given)


def read_images(path: Path, size: tuple[int, int], *, colour: bool) -> tuple[Pixels, list[str]]:
    """Read an image, or all images below a folder in the order of their paths, for instance to predict on.

    Args:
        path: a file or a folder.
        size: (height, width) to which others are resized (bilinear).
        colour: whether three channels are wanted, or one.

    Returns:
        uint8 (N, H, W), of colours (N, H, W, 3), and the paths in the folder, or the name of the file.

    Raises:
        RejectedError: no images, or files that are not images or too large; names them.
    """
    folder = path if path.is_dir() else path.parent
    files = [_File(file, None, False) for file in (_images(path.rglob("*"), path) if path.is_dir() else [path])]
    if not files:
        raise RejectedError(
            f"{path} holds no images ({', '.join(SUFFIXES)}). Give a folder with the images to predict."
        )
    pixels = _each(files, folder, lambda image: _channels(_pixels(image, size), colour))
    return np.stack(pixels), [file.path.relative_to(folder).as_posix() for file in files]


def _channels(pixels: Pixels, colour: bool) -> Pixels:
    from PIL import Image

    if colour and pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L")) if not colour and pixels.ndim == 3 else pixels


def _find(folder: Path, unlabelled: str) -> list[_File]:
    if not folder.is_dir():
        raise RejectedError(f"{folder} is not a folder. Fix the path in [data] images.")
    names = {path.name for path in _folders(folder)} - {unlabelled}
    parted = bool(names & {*_TRAIN} and names & {*_TEST}) and names <= {*_TRAIN, *_TEST, *_VALID}
    parts = sorted(names, key=lambda name: (name in _TEST, name in _VALID, name)) if parted else []
    files = [file for part in parts for file in _labelled(folder / part, unlabelled, test=part in _TEST)]
    files += _labelled(folder, unlabelled, test=False, passed=parts)
    if not files:
        raise RejectedError(
            f"{folder} holds no images ({', '.join(SUFFIXES)}). Put the images of each class into a subfolder with the "
            "class's name."
        )
    return files


def _labelled(folder: Path, unlabelled: str, *, test: bool, passed: Sequence[str] = ()) -> list[_File]:
    """Images of one part: by class, then those without a label."""
    files, empty = [], []
    for path in _folders(folder):
        if path.name in passed:
            continue
        found = _images(path.rglob("*"), path)
        if not found and path.name != unlabelled:
            empty.append(path.name)
        files += [_File(image, None if path.name == unlabelled else path.name, test) for image in found]
    if empty:
        raise RejectedError(
            f"{folder}: the subfolders {', '.join(map(repr, empty[:5]))} hold no images ({', '.join(SUFFIXES)}). Fill "
            "or remove them."
        )
    return files + [_File(image, None, test) for image in _images(folder.iterdir(), folder)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(paths: Any, base: Path) -> list[Path]:
    hidden = (path for path in paths if not any(part.startswith(".") for part in path.relative_to(base).parts))
    return sorted(path for path in hidden if path.suffix.lower() in SUFFIXES and path.is_file())


def _has_test(files: list[_File]) -> bool:
    return any(file.test for file in files)


def _each(files: list[_File], folder: Path, look: Callable[[Image.Image], Any]) -> list[Any]:
    """Open and check each file; all failures are reported together."""
    from PIL import Image

    seen, broken = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for file in files:
            try:
                with Image.open(file.path, formats=_FORMATS) as image:
                    seen.append(look(image))
            except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
                broken.append((file.path.relative_to(folder).as_posix(), " ".join(str(error).split())))
    if broken:
        names = ", ".join(name for name, _ in broken[:5]) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        raise RejectedError(
            f"{folder}: {len(broken)} of {len(files)} files cannot be read as images: {names}. The first: "
            f"{broken[0][1]}. Fix or remove them."
        )
    return seen


def _size(image: Image.Image) -> tuple[int, int]:
    """Height and width of the image when it is upright."""
    turned = image.getexif().get(_ORIENTATION) in _TURNED
    return (image.width, image.height) if turned else (image.height, image.width)


def _most_frequent(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    """The most frequent size; of several the largest."""
    counts = Counter(sizes)
    return max(counts, key=lambda size: (counts[size], size[0] * size[1], size))


def _pixels(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """Pixels uint8 (H, W) of a grey image, or of one whose three channels are equal; else (H, W, 3)."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits: a plain conversion would clip all values above 255
        upright = Image.fromarray((np.asarray(upright).astype(np.int64).clip(0, 65535) // 257).astype(np.uint8))
    plain = upright.convert("L" if upright.mode in _GREY else "RGB")
    if plain.size != (size[1], size[0]):
        plain = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(plain, np.uint8)
    grey = pixels.ndim == 3 and (pixels == pixels[..., :1]).all()
    return pixels[..., 0] if grey else pixels


def _written(files: list[_File], folder: Path, size: tuple[int, int], path: Path) -> NDArray[Any]:
    """The pixels of all images in a mapped file, in the form of ``_together``."""
    colour = any(_each(files, folder, lambda image: _pixels(image, size).ndim == 3))
    shape = (len(files), *size, *(3,) * colour)

    def parts() -> Iterator[Pixels]:
        for file in files:
            (pixels,) = _each([file], folder, lambda image: _pixels(image, size))
            yield np.broadcast_to(pixels[..., None], shape[1:]) if pixels.ndim < len(shape) - 1 else pixels

    write_array(path, shape, np.uint8, parts())
    return open_array(path)


def _together(images: list[Pixels]) -> Pixels:
    if any(image.ndim == 3 for image in images):
        images = [
            np.broadcast_to(image[..., None], (*image.shape, 3)) if image.ndim == 2 else image for image in images
        ]
    return np.stack(images)


def _rows(path: Path, encoder: Encoder, _column: str | None) -> Inputs:
    """The images to predict on, in the size and with the channels of the training images."""
    form = encoder.image_form
    if form is None:
        raise UsageError(
            f"rows = {str(path)!r}: this student was not trained on images of bytes, as files hold them. Give the "
            "images to predict on as one array with the size, channels and range of the training images: "
            "`numpy.savez('rows.npz', x=images)`."
        )
    pixels, names = read_images(path, (form.height, form.width), colour=form.channels == 3)
    return Inputs(pixels if form.channels == 1 or form.channels_last else np.moveaxis(pixels, -1, 1), names)


FORMAT = Format(
    {"images": ()},
    lambda _, place, wanted: read_image_folder(Path(place), wanted),
    SUFFIXES,
    folders=True,
    rows=_rows,
)
