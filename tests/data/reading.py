"""Data as a classifier reads them, for the tests of this folder."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

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


def source_of(labels: list[int], test: list[int] | None = None) -> Source:
    """Rows of nothing but labels, -1 for none."""
    coded = np.array(labels, np.int64)
    classes = tuple(map(str, range(int(coded.max(initial=0)) + 1)))
    fixed = None if test is None else np.array(test, np.int64)
    return Source(np.zeros((len(coded), 1)), coded, classes, "array", "s", (1,), fixed)
