"""Folders of images: a subfolder for each class, and one for the images without a label."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.files.format import TEST, TRAIN, VALID, Format, Inputs, Wanted, is_litter
from stillhouse.data.files.pictures import (
    SUFFIXES,
    Facts,
    Pixels,
    each,
    facts,
    in_channels,
    most_frequent,
    pixels,
    scale_for,
    scale_lines,
)
from stillhouse.data.on_disk.mapped import ARRAY, open_array, write_array
from stillhouse.data.source import PixelScale, Source
from stillhouse.data.targets import TargetCells
from stillhouse.errors import RejectedError, UsageError

_LOGGER = logging.getLogger("stillhouse")


class _File(NamedTuple):
    path: Path
    label: str | None
    test: bool


def read_image_folder(
    folder: Path, wanted: Wanted, *, unlabelled: str = "unlabelled", size: tuple[int, int] | None = None
) -> Source:
    """Read PNG, JPEG, BMP, GIF, WebP and TIFF images, the name of the subfolder as the class.

    Images of the subfolder ``unlabelled`` and those directly in the folder have no label. If the folder holds ``train``
    and ``test`` (and ``valid``), the classes are the subfolders of these, and the test is fixed; rows of ``valid`` are
    divided together with those of ``train``. Images are turned by their EXIF orientation; of several pictures in a file
    the first is read. Transparent pixels are laid over one background, and pixels of more than 8 bits are scaled from
    the range that the images use: the same for all images, see ``pictures.scale_for``. Other files are skipped. Each of
    these is told in a line.

    Args:
        folder: of the images.
        wanted: the task reads the names of the subfolders; with a ``room`` the pixels are on disk there, and each
            image is decoded twice.
        unlabelled: name of the subfolder without labels.
        size: (height, width) of all; None: the most frequent size. Other images are resized (bilinear) with a
            ``UserWarning``.

    Returns:
        a source of kind "image": (N, H, W) where all are grey, else (N, H, W, 3), uint8, or uint16 where an image has
        more than 8 bits; ``kept["file"]`` holds the paths in the folder.

    Raises:
        RejectedError: no folder, no images, a class without one, or files that are not images or too large; names them.
    """
    files = _find(folder, unlabelled)
    paths = [file.path for file in files]
    seen = each(paths, folder, facts)
    scale, chosen = scale_for(seen), size or most_frequent([one.size for one in seen])
    for line in [*scale_lines(seen, scale), *_skipped(folder)]:
        _LOGGER.info("%s: %s", folder, line)
    _warn_resized(folder, seen, chosen)
    if wanted.room is None:
        raw = _together(each(paths, folder, lambda image: pixels(image, chosen, scale)))
    else:
        raw = _written(paths, folder, chosen, scale, wanted.room / ARRAY)
    labels = np.array([file.label for file in files], object)
    cells = TargetCells("names", labels, len(files), str(folder), str(folder), no_label=wanted.no_label)
    read = wanted.read_targets(cells, wanted.classes)
    test = (
        np.flatnonzero([file.test and file.label is not None for file in files])
        if any(file.test for file in files)
        else None
    )
    kept = {"file": np.array([path.relative_to(folder).as_posix() for path in paths], object)}
    return Source(
        raw, read.values, read.names, "image", folder.name, raw.shape[1:], test, kept=kept, label_values=read.given,
        pixels=scale,
    )  # fmt: skip


def _warn_resized(folder: Path, seen: Sequence[Facts], size: tuple[int, int]) -> None:
    odd = sum(one.size != size for one in seen)
    if odd:
        warnings.warn(
            f"{folder}: {odd} of {len(seen)} images are not {size[0]} x {size[1]} pixels (height x width) and "
            "were resized to that; their proportions may have changed.",
            stacklevel=3,
        )


def _find(folder: Path, unlabelled: str) -> list[_File]:
    if not folder.is_dir():
        raise RejectedError(f"{folder} is not a folder. Fix the path in [data] images.")
    names = {path.name for path in _folders(folder)} - {unlabelled}
    parted = bool(names & {*TRAIN} and names & {*TEST}) and names <= {*TRAIN, *TEST, *VALID}
    parts = sorted(names, key=lambda name: (name in TEST, name in VALID, name)) if parted else []
    files = [file for part in parts for file in _labelled(folder / part, unlabelled, test=part in TEST)]
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
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not is_litter(path, folder))
    for path in found:
        if path.is_symlink() and folder.resolve().is_relative_to(path.resolve()):
            raise RejectedError(
                f"{path} is a link to {path.resolve()}, so the folder contains itself and each image would have "
                "several classes. Remove the link."
            )
    return found


def _images(paths: Iterable[Path], base: Path) -> list[Path]:
    return sorted(p for p in paths if p.suffix.lower() in SUFFIXES and p.is_file() and not is_litter(p, base))


def _skipped(folder: Path) -> list[str]:
    """A line about the files that are no images of a known format, by their suffix."""
    others = (p for p in folder.rglob("*") if p.is_file() and not is_litter(p, folder))
    counts = Counter(p.suffix.lower() or p.name for p in others if p.suffix.lower() not in SUFFIXES)
    if not counts:
        return []
    shown = ", ".join(f"{suffix} ({count})" for suffix, count in counts.most_common(5))
    return [f"{counts.total()} files were skipped, because they are not {', '.join(SUFFIXES)}: {shown}"]


def _written(
    paths: Sequence[Path], folder: Path, size: tuple[int, int], scale: PixelScale, target: Path
) -> NDArray[Any]:
    """The pixels of all images in a mapped file, in the form of ``_together``."""
    colour = any(each(paths, folder, lambda image: pixels(image, size, scale).ndim == 3))
    shape = (len(paths), *size, *(3,) * colour)

    def parts() -> Iterator[Pixels]:
        for path in paths:
            (found,) = each([path], folder, lambda image: pixels(image, size, scale))
            yield in_channels(found, colour)

    write_array(target, shape, np.uint8 if scale.deep is None else np.uint16, parts())
    return open_array(target)


def _together(images: list[Pixels]) -> Pixels:
    colour = any(image.ndim == 3 for image in images)
    return np.stack([in_channels(image, True) for image in images] if colour else images)


def _rows(path: Path, encoder: Encoder, _column: str | None) -> Inputs:
    """The images to predict on, in the size, with the channels and by the scale of the training images."""
    form = encoder.image_form
    if form is None:
        raise UsageError(
            f"rows = {str(path)!r}: this student was not trained on images of bytes, as files hold them. Give the "
            "images to predict on as one array with the size, channels and range of the training images: "
            "`numpy.savez('rows.npz', x=images)`."
        )
    folder = path if path.is_dir() else path.parent
    files = _images(path.rglob("*"), path) if path.is_dir() else [path]
    if not files:
        raise RejectedError(
            f"{path} holds no images ({', '.join(SUFFIXES)}). Give a folder with the images to predict."
        )
    seen = each(files, folder, facts)
    clear = sum(one.brightness is not None for one in seen)
    if clear and form.scale.background is None:
        warnings.warn(
            f"{path}: {clear} of {len(files)} images have transparent pixels, which no training image had. They were "
            "laid over white.",
            stacklevel=2,
        )
    size, colour = (form.height, form.width), form.channels == 3
    found = np.stack(each(files, folder, lambda image: in_channels(pixels(image, size, form.scale), colour)))
    names = [file.relative_to(folder).as_posix() for file in files]
    return Inputs(found if not colour or form.channels_last else np.moveaxis(found, -1, 1), names)


FORMAT = Format(
    {"images": ()},
    lambda _, place, wanted: read_image_folder(Path(place), wanted),
    SUFFIXES,
    folders=True,
    rows=_rows,
)
