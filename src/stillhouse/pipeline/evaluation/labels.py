"""Labels that come after a run: matched to its test rows, so that they can be judged with them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse import hashes
from stillhouse.archives import BROKEN, open_npz
from stillhouse.data import Source, TargetCells, formats
from stillhouse.data.cells import name_of
from stillhouse.data.files.target import USUAL_LABELS, wanted_targets
from stillhouse.data.forms import Form
from stillhouse.data.inputs import as_labels
from stillhouse.data.labels import is_gap
from stillhouse.data.source import row_hashes
from stillhouse.data.targets import known
from stillhouse.errors import DamagedError, RejectedError, UsageError, nearest
from stillhouse.evaluation import Predictions
from stillhouse.files import write_npz
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import say
from stillhouse.recipe import Recipe
from stillhouse.task import Task

if TYPE_CHECKING:
    from pandas import DataFrame

TEST = "predictions.npz"
KEYS = "keys.npz"  # what each test row is known by: its number and the hash of its input
NOTE = "later_labels"  # the key in run.json
TEXT = "text"
Reread = Callable[[str], Source]  # the rows of the run, read again, with a column kept


class Keys(NamedTuple):
    """What the test rows are known by."""

    rows: NDArray[np.int64]  # (N,) their numbers in the source
    hashes: NDArray[np.uint64]  # (N,) of their inputs
    columns: tuple[str, ...]  # of the inputs; empty for arrays and images
    forms: dict[str, Form]  # of a table, how its columns are read
    size: int  # rows of the source
    kind: str  # of the source


class Match(NamedTuple):
    """What rows are known by: the same value for the same row, None where there is none."""

    theirs: list[Any]  # (M,) of the labels
    ours: list[Any]  # (N,) of the test rows
    what: str  # in words


def write_keys(folder: Path, source: Source, rows: NDArray[np.int64]) -> None:
    """Write ``keys.npz`` of the test rows, with which later labels find them."""
    columns = [source.column] if source.kind == TEXT else list(getattr(source.raw, "columns", []))
    values = {"rows": rows, "hashes": hashed(source.take(rows)), "columns": np.array(columns, np.str_)}
    forms = json.dumps({name: form.state() for name, form in source.forms.items()})
    facts = {"size": np.array(len(source)), "kind": np.array(source.kind), "forms": np.array(forms)}
    write_npz(folder / KEYS, values | facts)


def hashed(raw: Any) -> NDArray[np.uint64]:
    """Hash of each row's input, uint64 (N,); texts may differ in white space, and numbers beyond single precision."""
    if isinstance(raw, np.ndarray) and raw.dtype == object:
        return np.array([xxhash.xxh3_64_intdigest(" ".join(str(text).split()).encode()) for text in raw], np.uint64)
    return row_hashes(raw if isinstance(raw, np.ndarray) else raw.astype(dict.fromkeys(_numbers(raw), np.float32)))


def _numbers(frame: DataFrame) -> list[str]:
    return [name for name in frame.columns if frame[name].dtype.kind == "f"]


def read_keys(folder: Path) -> Keys:
    """What ``write_keys`` wrote."""
    hashes.check(folder / KEYS)
    try:
        with open_npz(folder / KEYS) as file:
            forms = {name: Form.from_state(form) for name, form in json.loads(str(file["forms"])).items()}
            names = tuple(map(str, file["columns"]))
            return Keys(file["rows"], file["hashes"], names, forms, int(file["size"]), str(file["kind"]))
    except BROKEN as error:
        raise DamagedError(
            f"{folder / KEYS} cannot be read: {error}. Labels cannot be matched to the rows of this run. "
            f"{hashes.cure(folder / KEYS)}"
        ) from error


def add_labels(run: RunFolder, recipe: Recipe, task: Task, labels: Any, column: str | None, reread: Reread) -> None:
    """Write labels of test rows into ``predictions.npz``; a label that was there is replaced.

    Args:
        run: a judged run.
        recipe: of the run.
        task: of the run.
        labels: the path of a table, a frame, a mapping from inputs or ids to labels, or one label for each row of the
            data in their order.
        column: of the table and of the data, by which rows are matched; None: by the input, else by the one column
            that both have.
        reread: reads the data again, for their ids.

    Raises:
        UsageError: there is no column of labels, or none by which rows could be matched.
        RejectedError: two labels of one row, a label of no class, or no label of a test row.
    """
    test, keys = Predictions.load(run.folder / TEST), read_keys(run.folder)
    # Names of real targets are columns; those of classes say which labels there are.
    names, no_label = None if task.link == "identity" else test.names, recipe.data.no_label
    if isinstance(labels, str | Path | Mapping) or hasattr(labels, "columns"):
        table, where = table_of(labels, keys)
        columns = label_columns(table, recipe, keys, column, where)
        named = {name: table[name] for name in columns}
        what = f"{where}: {', '.join(columns)}"
        cells = TargetCells("columns", named, len(table), what, where, no_label=no_label, learned=False)
        match = matching(table, [c for c in table.columns if c not in columns], keys, column, reread, where)
    else:
        array, where = as_labels(labels), "The labels"
        cells = TargetCells("python", array, len(array), where, where, no_label=no_label, learned=False)
        match = in_order(len(array), keys, recipe)
    read = task.read_targets(cells, names)
    if test.names and read.names != test.names:
        raise RejectedError(f"{where} are of {', '.join(read.names)}, but the run is of {', '.join(test.names)}.")
    found = collected(read.values, match.theirs, where)
    targets = test.targets.copy() if test.names else np.full(len(test.rows), -1, read.values.dtype)
    places = [i for i, key in enumerate(match.ours) if key in found]
    if not places:
        raise RejectedError(
            f"{where}: none of the {int(known(read.values).sum())} labels belongs to one of the {len(test.rows)} test "
            f"rows of this run, by {match.what}. Label test rows: their numbers in the data are `rows` in "
            f"{run.folder / TEST}."
        )
    for place in places:
        targets[place] = found[match.ours[place]]
    replace(test, targets=targets, names=test.names or read.names).save(run.folder / TEST)
    now = int(known(targets).sum())
    run.note(**{NOTE: {"given": int(known(read.values).sum()), "test_rows": len(places), "labelled": now}})
    say(f"labels: {len(places):,} of {len(targets):,} test rows got one; {now:,} have one now")


def forget_labels(run: RunFolder) -> None:
    """Say that labels which came after the run are gone with its predictions, which are made again."""
    if run.record.pop(NOTE, None) is not None:
        run.note()
        say(
            f"{TEST} is made again without the labels that came later. Give them again: `stillhouse evaluate --labels`."
        )


def table_of(labels: Any, keys: Keys) -> tuple[DataFrame, str]:
    """Labels as a frame, with their name in an error."""
    import pandas as pd

    if isinstance(labels, Mapping):
        key = keys.columns[0] if len(keys.columns) == 1 and keys.columns[0] else TEXT
        return pd.DataFrame({key: list(labels), USUAL_LABELS[0]: list(labels.values())}), "The labels"
    if not isinstance(labels, str | Path):
        return labels.rename(columns=str).reset_index(drop=True), "The labels"
    path = Path(labels)
    found = formats.find("text", path)
    assert found.open_cells is not None
    opened = found.open_cells(path, None, [*USUAL_LABELS, *keys.columns, TEXT], None)
    cells: Any = opened.cells
    if not opened.named:
        raise UsageError(
            f"{path} has no line with the names of its columns. Write one, such as `text,label` or `id,label`."
        )
    return pd.DataFrame({str(name): cells[name] for name in cells.columns}), str(path)


def label_columns(table: DataFrame, recipe: Recipe, keys: Keys, column: str | None, where: str) -> list[str]:
    """The columns that hold the labels: those of [data] target, one with a usual name, or the only one left."""
    names, wanted = list(table.columns), wanted_targets(recipe.data.target)
    if wanted and set(wanted) <= set(names):
        return wanted
    usual = [name for name in USUAL_LABELS if name in names and name != column]
    left = [name for name in names if name not in {*keys.columns, TEXT, column}]
    if usual or len(left) == 1:
        return usual[:1] or left
    raise UsageError(
        f"{where}: which column holds the labels? The columns are {', '.join(map(repr, names[:20]))}. Call it "
        f"{USUAL_LABELS[0]!r}."
    )


def matching(table: DataFrame, others: list[str], keys: Keys, column: str | None, reread: Reread, where: str) -> Match:
    """How the rows of a table find those of the test: by their inputs, or by a column that the data have too."""
    import pandas as pd

    inputs = list(keys.columns) if keys.columns and set(keys.columns) <= set(others) else []
    if keys.kind == TEXT and not inputs:
        inputs = [TEXT] if TEXT in others else others if len(others) == 1 and not keys.columns[0] else []
    if column is None and inputs and keys.kind == TEXT:
        cells = np.array([None if is_gap(cell) else cell for cell in table[inputs[0]]], object)
        return Match(hashed(cells).tolist(), keys.hashes.tolist(), f"the text in column {inputs[0]!r}")
    if column is None and inputs:
        rows = pd.DataFrame({name: keys.forms[name].read(table[name], name) for name in inputs})
        return Match(hashed(rows).tolist(), keys.hashes.tolist(), "all input columns")
    if column is not None and column not in others:
        raise UsageError(f"{where} has no column {column!r}.{nearest(column, others)} Fix the name.")
    for name in [column] if column is not None else others:
        if (ids := ids_of(reread, name, keys)) is not None:
            theirs = [None if is_gap(cell) else name_of(cell) for cell in table[name]]
            return Match(theirs, [name_of(cell) for cell in ids], f"column {name!r}")
    raise UsageError(
        f"{where}: by which column are its rows those of the data? Neither the inputs "
        f"({', '.join(map(repr, keys.columns[:5])) or 'arrays'}) nor a column of the data is among "
        f"{', '.join(map(repr, others[:20])) or 'its columns'}. Add the text, or the column of the data that names a "
        "row (`--id COLUMN`)."
    )


def ids_of(reread: Reread, name: str, keys: Keys) -> NDArray[Any] | None:
    """The cells (N,) of a column of the data for the test rows; None: the data have no such column.

    Raises:
        RejectedError: the data are no longer those of the run.
    """
    try:
        source = reread(name)
    except (RejectedError, UsageError):
        return None
    if len(source) != keys.size or not np.array_equal(hashed(source.take(keys.rows)), keys.hashes):
        raise RejectedError(
            f"The data of the run have changed, so column {name!r} cannot identify its rows. Match the labels by the "
            "inputs, or restore the data."
        )
    cells = source.kept.get(name)
    if cells is None and not isinstance(source.raw, np.ndarray) and name in source.raw.columns:
        cells = source.raw[name].to_numpy()
    return None if cells is None else cells[keys.rows]


def in_order(count: int, keys: Keys, recipe: Recipe) -> Match:
    """How labels find the test rows that stand in the order of all rows, or of the user's own test rows."""
    if count == keys.size:
        return Match(list(range(count)), keys.rows.tolist(), "position")
    data = recipe.data
    from_python = not any((data.name, data.path, data.arrays, data.images, data.text))
    if from_python and count == len(keys.rows):
        return Match(list(range(count)), list(range(count)), "position")
    expected = f"{keys.size} (all rows of the data)" + f" or {len(keys.rows)} (the test rows)" * from_python
    raise UsageError(
        f"There are {count} labels, but {expected} are expected, in order. Give those, with None where a label is not "
        "known, or a frame of inputs and labels."
    )


def collected(values: NDArray[Any], by: Sequence[Any], where: str) -> dict[Any, Any]:
    """The label of each key; a key may stand several times, with one label.

    Raises:
        RejectedError: it has two; names the rows.
    """
    given, rows = known(values), defaultdict[Any, list[int]](list)
    for row in np.flatnonzero(given).tolist():
        if by[row] is not None:
            rows[by[row]].append(row)
    for same in rows.values():
        differing = next(
            (row for row in same if not np.array_equal(values[row], values[same[0]], equal_nan=True)), None
        )
        if differing is not None:
            raise RejectedError(
                f"{where}: rows {same[0]} and {differing} (counted from 0) are of the same row of the data and have "
                "different labels. Keep one of them."
            )
    return {key: values[same[0]] for key, same in rows.items()}
