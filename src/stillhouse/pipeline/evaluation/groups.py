"""The groups of rows that are judged one by one: columns of the table, kept for the test rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse import hashes
from stillhouse.archives import open_npz
from stillhouse.data import Source
from stillhouse.errors import UsageError, nearest
from stillhouse.files import write_npz
from stillhouse.pipeline.run.context import RunContext
from stillhouse.recipe import Recipe

FILE = "groups.npz"
MISSING = "(missing)"
MOST_GROUPS = 50  # of one column: more are names of rows, not of groups
MOST_NUMBERS = 12  # different numbers of a column that are groups each; more are cut into quarters

Texts = NDArray[np.str_]


def write_groups(context: RunContext) -> None:
    """Write ``groups.npz``: ``names`` (G,) and ``values`` (G, N), text for each test row; no file without groups.

    Raises:
        UsageError: a column does not exist, the data are no table, or a column has too many values.
        RejectedError: the cells of a column cannot be read.
    """
    names = context.recipe.evaluation.groups
    if not names:
        return
    split = context.data.split
    cells = [group_cells(name, context.recipe, context.data.source) for name in names]
    values = [labels_of(c, split.train, n)[split.test] for n, c in zip(names, cells, strict=True)]
    write_npz(context.run.folder / FILE, {"names": np.array(names, np.str_), "values": np.array(values, np.str_)})


def read_groups(folder: Path) -> dict[str, Texts]:
    """By name, a text for each test row."""
    if not (folder / FILE).exists():
        return {}
    hashes.check(folder / FILE)
    with open_npz(folder / FILE) as file:
        return {str(name): values for name, values in zip(file["names"], file["values"], strict=True)}


def group_cells(name: str, recipe: Recipe, source: Source) -> NDArray[Any]:
    """The cells (N,) of one column of the source, as ``Form.read`` gives them."""
    if name in source.kept:
        return source.kept[name]
    if isinstance(source.raw, np.ndarray):
        raise UsageError(
            f"[evaluation] groups = [{name!r}] names a column, and {source.name!r} holds {source.kind}s without any. "
            "Take the line out, or give the data as a table or a file of texts."
        )
    if name in source.raw.columns:
        found: NDArray[Any] = source.raw[name].to_numpy()
        return found
    known = [*map(str, source.raw.columns), *(source.ignored if recipe.data.path else ())]
    raise UsageError(
        f"[evaluation] groups: {source.name!r} has no column {name!r}.{nearest(name, known)} Fix the name."
    )


def labels_of(cells: NDArray[Any], train: NDArray[np.int64], name: str) -> Texts:
    """Name the group of each row; many numbers are cut into quarters of the training rows.

    >>> labels_of(np.arange(100.0), np.arange(100), "age")[[0, 99]].tolist()
    ['up to 24.8', 'above 74.2']
    """
    if cells.dtype.kind == "M":
        days = np.where(np.isnat(cells), np.nan, cells.astype("datetime64[D]").astype(np.int64))
        texts = _numbers(days, train, lambda day: str(np.datetime64(int(day), "D")))
    elif cells.dtype != np.float64:
        texts = np.array([MISSING if c is None else str(c) for c in cells], np.str_)
    else:
        texts = _numbers(cells, train)
    found = len(np.unique(texts))
    if found > MOST_GROUPS:
        raise UsageError(
            f"[evaluation] groups: column {name!r} has {found} values, and at most {MOST_GROUPS} groups can be "
            "compared. Name a column with fewer values."
        )
    return texts


def _numbers(
    cells: NDArray[np.float64], train: NDArray[np.int64], write: Callable[[float], str] | None = None
) -> Texts:  # fmt: skip
    gaps = np.isnan(cells)
    if len(np.unique(cells[~gaps])) <= MOST_NUMBERS:
        texts = np.array([MISSING if x != x else (write or "{:g}".format)(x) for x in cells], np.str_)
    else:
        edges = np.unique(np.nanquantile(cells[train], [0.25, 0.5, 0.75]))
        ends = list(map(write or "{:.3g}".format, edges))
        middle = [f"above {a} to {b}" for a, b in pairwise(ends)]
        names = np.array([f"up to {ends[0]}", *middle, f"above {ends[-1]}"], np.str_)
        texts = names[np.searchsorted(edges, cells)]
    return np.where(gaps, MISSING, texts)
