"""Data as a classifier reads them, for the tests of this folder."""

from functools import partial
from pathlib import Path
from typing import Any

from stillhouse import data
from stillhouse.data import Source
from stillhouse.data.files.format import Wanted
from stillhouse.data.formats import images
from stillhouse.tasks.classification.targets import read_targets

read = partial(data.read, read_targets=read_targets)
from_torch = partial(data.from_torch, read_targets=read_targets)


def read_texts(path: Path, **settings: Any) -> Source:
    return read(text=path, **settings)


def read_table(path: Path, **settings: Any) -> Source:
    return read(path=path, **settings)


def read_image_folder(folder: Path, size: tuple[int, int] | None = None, **settings: Any) -> Source:
    return images.read_image_folder(folder, Wanted(read_targets, **settings), size=size)
