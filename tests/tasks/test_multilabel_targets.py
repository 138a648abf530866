"""Targets of several labels a row: 0/1 columns and lists in every form, and bad cells by their rows."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from stillhouse import data
from stillhouse.errors import RejectedError, StillhouseError, UsageError
from stillhouse.tasks.multilabel.targets import read_targets

read = partial(data.read, read_targets=read_targets)
from_torch = partial(data.from_torch, read_targets=read_targets)

LISTS = [["b", "a"], ["c"], [], None, ["a"]]
MATRIX = [[1, 1, 0], [0, 0, 1], [0, 0, 0], [np.nan] * 3, [1, 0, 0]]
X = torch.arange(10.0).view(5, 2)


def write(folder: Path, form: str) -> Path:
    x = [1.0, 2.0, 3.0, 4.0, 5.0]
    if form == "jsonl":
        lines = [{"x": v, "tags": tags} for v, tags in zip(x, LISTS, strict=True)]
        (folder / "t.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return folder / "t.jsonl"
    if form == "parquet":
        pd.DataFrame({"x": x, "tags": LISTS}).to_parquet(folder / "t.parquet")
        return folder / "t.parquet"
    written = {
        "bar": ["b|a", "c", "[]", "", " a "],
        "semicolon": ["b; a", "c", ";", "", "a"],
        "json": ['["b", "a"]', '["c"]', "[]", "", '["a"]'],
    }
    pd.DataFrame({"x": x, "tags": written[form]}).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


@pytest.mark.parametrize("form", ["jsonl", "parquet", "bar", "semicolon", "json"])
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_list_column_of_every_format_gives_the_matrix(tmp_path: Path, form: str, on_disk: bool) -> None:
    source = read(path=write(tmp_path, form), target="tags", on_disk=tmp_path / "rows" if on_disk else None)
    assert source.targets.dtype == np.float32
    assert source.names == ("a", "b", "c")
    np.testing.assert_array_equal(source.targets, MATRIX)
    assert source.known.tolist() == [True, True, True, False, True]


def test_declared_labels_give_the_order(tmp_path: Path) -> None:
    source = read(path=write(tmp_path, "bar"), target="tags", classes=["c", "d", "b", "a"])
    assert source.targets[:2].tolist() == [[0, 0, 1, 1], [1, 0, 0, 0]]
    with pytest.raises(RejectedError, match=r"rows 0 .*label 'b', which is not declared|row 0 .*label 'b'"):
        read(path=write(tmp_path, "bar"), target="tags", classes=["a", "c"])


def test_columns_of_zero_and_one_are_the_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"x": [1.0, 2.0, 3.0], "rain": [1, 0, None], "wind": ["true", "False", ""], "snow": [0.0, 1.0, 1.0]}
    )
    for path in (tmp_path / "t.csv", tmp_path / "t.parquet"):
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
        source = read(path=path, target=["rain", "wind", "snow"])
        assert source.names == ("rain", "wind", "snow")
        np.testing.assert_array_equal(source.targets, [[1, 1, 0], [0, 0, 1], [np.nan, np.nan, 1]])


def test_arrays_of_zero_and_one_are_the_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.eye(3), y=np.array([[0, 1], [1, -1]]))
    with pytest.raises(RejectedError, match=r"column 1 .*row 1 .*no_label = -1"):
        read(arrays=tmp_path / "a.npz")
    source = read(arrays=tmp_path / "a.npz", no_label="-1")
    assert source.names == ("label_0", "label_1")
    np.testing.assert_array_equal(source.targets, [[0, 1], [1, np.nan], [np.nan, np.nan]])
    assert read(arrays=tmp_path / "a.npz", no_label="-1", classes=["left", "right"]).names == ("left", "right")
    with pytest.raises(UsageError, match="names 1 labels"):
        read(arrays=tmp_path / "a.npz", classes=["left"])


@pytest.mark.parametrize(
    "y",
    [
        LISTS,
        [None if row is None else tuple(row) for row in LISTS],
        [None if row is None else set(row) for row in LISTS],
        pd.Series(LISTS),
    ],
)
def test_lists_of_labels_from_python_give_the_matrix(y: Any) -> None:
    source, drawn = from_torch((X, y), None, (X[:3], LISTS[:3]))
    np.testing.assert_array_equal(source.targets, [*MATRIX, *MATRIX[:3]])
    assert (source.names, drawn.labelled.tolist()) == (("a", "b", "c"), [0, 1, 2, 4])


@pytest.mark.parametrize("loader", [False, True])
def test_items_with_lists_of_labels_give_the_matrix(loader: bool) -> None:
    items: Any = list(zip(X, [row or [] for row in LISTS], strict=True))
    data_set = DataLoader(items, batch_size=2) if loader else items
    source, _ = from_torch(data_set, None, (X[:2], LISTS[:2]))
    np.testing.assert_array_equal(source.targets[[0, 1, 2, 4]], [MATRIX[i] for i in (0, 1, 2, 4)])


def test_a_matrix_from_python_is_the_targets() -> None:
    matrix = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    for y in (matrix, matrix.long(), matrix.bool(), matrix.tolist()):
        source, _ = from_torch((X, y), None, (X, y))
        np.testing.assert_array_equal(source.targets[:5], matrix)
    source, drawn = from_torch(X, None, (X, matrix))
    assert np.isnan(source.targets[:5]).all()
    assert not len(drawn.labelled)


BAD: dict[str, tuple[str, dict[str, Any], type[StillhouseError], str]] = {
    "a number": (
        "x,a,b\n1,1,0\n2,2,1\n",
        {"target": ["a", "b"]},
        RejectedError,
        r"'a' must hold 0 and 1, .*row 1 .*2",
    ),
    "a word": ("x,a,b\n1,1,no\n2,0,1\n", {"target": ["a", "b"]}, RejectedError, r"'b' must hold 0 and 1, but row 0"),
    "classes": ("x,a,b\n1,1,0\n2,0,1\n", {"target": ["a", "b"], "classes": ["c", "d"]}, UsageError, "are the columns"),
    "nothing known": ("x,t\n1,\n2,\n", {"target": "t"}, RejectedError, "no label in any row"),
    "unknown": ("x,a,b\n1,,\n2,,\n", {"target": ["a", "b"]}, RejectedError, "no row whose labels are known"),
    "no label": ("x,t\n1,[]\n2,[]\n", {"target": "t"}, RejectedError, "no label in any row"),
    "a name with the mark between labels": (
        "x,a|b,c\n1,1,0\n2,0,1\n",
        {"target": ["a|b", "c"]},
        RejectedError,
        r"the label .a\|b. contains .*Rename it",
    ),
    "no list": ('x,t\n1,"[1,"\n2,a\n', {"target": "t"}, RejectedError, r"row 0 .*other than a list of labels"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_target_is_refused_with_its_rows(tmp_path: Path, case: str) -> None:
    text, settings, error, message = BAD[case]
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(error, match=message):
        read(path=tmp_path / "t.csv", **settings)


def test_one_number_a_row_is_refused() -> None:
    with pytest.raises(RejectedError, match=r"as \(N, K\), or a list of labels"):
        from_torch((X, torch.arange(5)), None, (X, torch.arange(5)))


LABELS = st.sets(st.sampled_from(["red", "green", "blue", "10", "2"]))


@given(st.lists(LABELS, min_size=1, max_size=8).filter(any))
def test_a_list_column_says_of_each_row_which_labels_it_has(
    tmp_path_factory: pytest.TempPathFactory, rows: list[set[str]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    cells = ["|".join(sorted(row)) or "[]" for row in rows]
    pd.DataFrame({"x": range(len(rows)), "t": cells}).to_csv(path, index=False)
    source = read(path=path, target="t")
    for row, told in zip(rows, source.targets, strict=True):
        assert {name for name, value in zip(source.names, told, strict=True) if value == 1} == row
    assert sorted(source.names) == sorted(set().union(*rows))
