"""Files of arrays: ``.npz`` archives, and folders of ``.npy`` files that are mapped, not read."""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.archives import BROKEN, open_npz
from stillhouse.data.encoders.base import Encoder
from stillhouse.data.files.format import Format, Inputs, Wanted
from stillhouse.data.inputs import check_finite
from stillhouse.data.on_disk.mapped import ARRAY
from stillhouse.data.source import Kind, Source
from stillhouse.data.targets import TargetCells
from stillhouse.errors import RejectedError, nearest
from stillhouse.files import READ_BYTES, write_pieces

_WRITE = "Write it with `numpy.savez(path, x=x, y=y)`."


def read_arrays(path: Path, wanted: Wanted) -> Source:
    """Read arrays: ``x`` (N, D) is an array, (N, H, W) and (N, C, H, W) are images; ``y`` (M,) or (M, K) the targets.

    Rows beyond the end of ``y`` have no label; the task decides which other values mean no label.

    Args:
        path: an .npz file with x and y, or a folder with x.npy and y.npy, where x stays on disk.
        wanted: with a ``room`` the x of an .npz is on disk there.

    Raises:
        RejectedError: the file, ``x`` or ``y`` cannot be used.
        StoppedError: the disk is full.
    """
    content = _mapped_folder(path) if path.is_dir() else load_npz(path, wanted.room)
    x, y = content["x"], content.get("y", np.empty(0))
    kind = kind_of(x, f"{path}: x")
    if np.ndim(y) < 1 or len(y) > len(x):
        raise RejectedError(f"{path}: y has {y.size} labels for the {len(x)} rows of x. Give at most one for each row.")
    cells = TargetCells("array", y, len(x), f"{path}: y", str(path), no_label=wanted.no_label)
    read = wanted.read_targets(cells, wanted.classes)
    check_finite(x, f"{path}: x")
    return Source(x, read.values, read.names, kind, path.stem, x.shape[1:], label_values=read.given)


def kind_of(x: NDArray[Any], where: str) -> Kind:
    """Distinguish images from arrays by the number of axes.

    Raises:
        RejectedError: not numbers, or not 2, 3 or 4 axes.
    """
    if x.dtype.kind not in "biuf" or x.ndim not in (2, 3, 4):
        raise RejectedError(
            f"{where} has the shape {x.shape} and the type {x.dtype}. It must hold numbers, with rows as the first "
            "axis: (N, D), (N, H, W) or (N, C, H, W)."
        )
    return "array" if x.ndim == 2 else "image"


def load_npz(path: Path, room: Path | None = None) -> dict[str, NDArray[Any]]:
    """Read x and y of an archive; with a ``room`` x is unpacked there and mapped.

    Raises:
        RejectedError: not an archive of plain arrays, or one without x.
        StoppedError: the disk is full.
    """
    try:
        with open_npz(path) as content:
            keys = list(content.files)
            found = {key: content[key] for key in keys if key == "y" or (key == "x" and room is None)}
        if room is not None and "x" in keys:
            found["x"] = np.load(_unpacked(path, room), mmap_mode="r", allow_pickle=False)
    except BROKEN as error:
        raise RejectedError(f"{path} cannot be read as .npz of plain arrays: {error}. {_WRITE}") from None
    if "x" not in found:
        raise RejectedError(f"{path} has no array 'x'.{nearest('x', keys)} {_WRITE}")
    return found


def _unpacked(path: Path, room: Path) -> Path:
    """Copy x out of the archive, piece by piece."""
    with zipfile.ZipFile(path) as archive, archive.open("x.npy") as packed:
        write_pieces(room / ARRAY, iter(partial(packed.read, READ_BYTES), b""))
    return room / ARRAY


def _mapped_folder(folder: Path) -> dict[str, NDArray[Any]]:
    files = {name: folder / f"{name}.npy" for name in ("x", "y")}
    if not files["x"].exists():
        raise RejectedError(f"{folder} has no x.npy. Write x.npy and y.npy there with `numpy.save`.")
    try:
        x = np.load(files["x"], mmap_mode="r", allow_pickle=False)
        # Mapped first: a file that declares more than it holds is then refused, and takes no memory.
        return {"x": x} | ({"y": np.array(np.load(files["y"], "r", False))} if files["y"].exists() else {})
    except BROKEN as error:
        raise RejectedError(
            f"{folder}: x.npy or y.npy is not a plain array: {error}. Write it with `numpy.save`."
        ) from None


def _is_arrays(path: Path) -> bool:
    return path.suffix.lower() == ".npz" or (path / "x.npy").exists()


def _rows(path: Path, _encoder: Encoder, _column: str | None) -> Inputs:
    return Inputs((_mapped_folder(path) if path.is_dir() else load_npz(path))["x"])


FORMAT = Format(
    {"arrays": ()}, lambda _, place, wanted: read_arrays(Path(place), wanted), (".npz",), _is_arrays, rows=_rows
)
