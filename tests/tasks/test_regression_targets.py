"""Targets of regression: the numbers of the file, gaps as NaN, and bad cells by their rows."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from stillhouse import data
from stillhouse.data import choose_labelled, split
from stillhouse.data.targets import TargetCells
from stillhouse.errors import RejectedError, StillhouseError, UsageError
from stillhouse.tasks.regression.targets import read_targets

read = partial(data.read, read_targets=read_targets)
from_torch = partial(data.from_torch, read_targets=read_targets)

TABLE = pd.DataFrame(
    {
        "x": np.arange(8.0),
        "town": list("abababab"),
        "price": [1.5, 2.25, None, -1.0, 1e6, 0.0, 3.0, 4.0],
        "weight": [1.0, None, None, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
)


def write(folder: Path, suffix: str) -> Path:
    path = folder / f"t{suffix}"
    if suffix == ".parquet":
        TABLE.to_parquet(path)
    elif suffix == ".jsonl":
        TABLE.to_json(path, orient="records", lines=True)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("on_disk", [False, True])
def test_every_format_gives_the_numbers_of_the_target_columns(tmp_path: Path, suffix: str, on_disk: bool) -> None:
    place = tmp_path / "rows" if on_disk else None
    source = read(path=write(tmp_path, suffix), target=["price", "weight"], on_disk=place)
    assert source.targets.dtype == np.float32
    np.testing.assert_array_equal(source.targets, TABLE[["price", "weight"]].to_numpy(np.float32))
    assert (source.names, source.ignored, source.label_values) == (("price", "weight"), ("price", "weight"), ())
    assert source.known.tolist() == [True, True, False, True, True, True, True, True]
    one = read(path=write(tmp_path, suffix), target="price", drop=["weight"])
    np.testing.assert_array_equal(one.targets[:, 0], TABLE["price"].to_numpy(np.float32))
    assert one.targets.shape == (8, 1)


def test_decimal_commas_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x;y\n1;1,5\n2;2,5\n3;\n")
    source = read(path=tmp_path / "t.csv", target="y")
    np.testing.assert_array_equal(source.targets[:, 0], [1.5, 2.5, np.nan])


def test_texts_and_arrays_have_real_targets_too(tmp_path: Path) -> None:
    pd.DataFrame({"text": ["a b", "c d", "e"], "stars": [1.5, 4.0, None]}).to_csv(tmp_path / "w.csv", index=False)
    source = read(text=tmp_path / "w.csv", target="stars")
    np.testing.assert_array_equal(source.targets[:, 0], [1.5, 4.0, np.nan])
    y = np.array([[1.0, 2.0], [np.nan, -1.0], [3.0, 0.5]])
    np.savez(tmp_path / "a.npz", x=np.eye(4), y=y)
    source = read(arrays=tmp_path / "a.npz")
    np.testing.assert_array_equal(source.targets, [*y, [np.nan, np.nan]])
    assert source.names == ("target_0", "target_1")
    np.savez(tmp_path / "b.npz", x=np.eye(3), y=np.array([3, -1, 5]))
    assert read(arrays=tmp_path / "b.npz").targets.tolist() == [[3.0], [-1.0], [5.0]]
    assert read(arrays=tmp_path / "b.npz").names == ("target",)


def test_a_named_set_has_the_numbers_of_its_package() -> None:
    from sklearn.datasets import load_diabetes

    source = read(name="diabetes")
    np.testing.assert_array_equal(source.targets[:, 0], load_diabetes().target.astype(np.float32))


X = torch.arange(24.0).view(12, 2)
Y = torch.linspace(-1, 1, 12)


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: (x, y),
        lambda x, y: (x.numpy(), y.double().numpy()),
        lambda x, y: (x, y.tolist()),
        lambda x, y: TensorDataset(x, y),
        lambda x, y: DataLoader(TensorDataset(x, y), batch_size=5, shuffle=True),
        lambda x, y: list(zip(x, y, strict=True)),
    ],
)
@pytest.mark.parametrize("y", [Y, torch.stack([Y, Y**2], 1)])
def test_every_form_from_python_gives_the_same_numbers(make: Callable[[Any, Any], Any], y: torch.Tensor) -> None:
    source, drawn = from_torch(make(X, y), None, make(X, y))
    np.testing.assert_array_equal(source.targets, torch.cat([y, y]).view(24, -1).numpy())
    assert drawn.labelled.tolist() == list(range(12))


def test_a_part_without_targets_and_gaps_are_unlabelled_rows() -> None:
    source, drawn = from_torch(X, (X, Y), (X, Y))
    assert np.isnan(source.targets[:12]).all()
    assert not len(drawn.labelled)
    gaps = Y.clone()
    gaps[[2, 5]] = torch.nan
    _, drawn = from_torch((X, gaps), None, (X, Y))
    assert drawn.labelled.tolist() == [i for i in range(12) if i not in (2, 5)]
    _, drawn = from_torch((X, [None, *Y[1:].tolist()]), None, (X, Y))
    assert drawn.labelled.tolist() == list(range(1, 12))


BAD: dict[str, tuple[str, dict[str, Any], type[StillhouseError], str]] = {
    "a word": ("x,y\n1,2\n2,many\n3,4\n", {}, RejectedError, r"column 'y' must hold numbers, but row 1 .*'many'.*Fix"),
    "infinite": ("x,y\n1,2\n2,inf\n3,4\n", {}, RejectedError, "row 1 .*an infinite number in 'y'"),
    "beyond float32": ("x,y\n1,2\n2,1e39\n3,4\n", {}, RejectedError, "row 1 .*beyond 3.4e38"),
    "one value": ("x,y\n1,2\n2,2\n", {}, RejectedError, "target 'y' has only one number, 2"),
    "no value": ("x,y\n1,\n2,\n", {}, RejectedError, "no row with a target"),
    "classes": ("x,y\n1,2\n2,3\n", {"classes": ["2", "3"]}, UsageError, "classes names classes"),
    "absent": ("x,y\n1,2\n2,3\n", {"target": ["y", "z"]}, UsageError, "no column 'z'"),
    "twice": ("x,y\n1,2\n2,3\n", {"target": ["y", "y"]}, UsageError, "each once"),
    "none": ("x,y\n1,2\n2,3\n", {"target": []}, UsageError, "at least one"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_target_is_refused_with_its_rows(tmp_path: Path, case: str) -> None:
    text, settings, error, message = BAD[case]
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(error, match=message):
        read(path=tmp_path / "t.csv", **({"target": "y"} | settings))


def test_arrays_and_names_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"row 1 .*'b'"):
        from_torch((X[:2], ["1", "b"]), None, (X[:2], Y[:2]))
    with pytest.raises(RejectedError, match="names of classes"):
        read(name="breast_cancer")
    with pytest.raises(RejectedError, match=r"valid data: row 3 .*no label"):
        from_torch((X, Y), (X[:4], [1.0, 2.0, 3.0, None]), (X, Y))
    with pytest.raises(RejectedError, match="shape"):
        from_torch((X, torch.zeros(12, 2, 2)), None, (X, torch.zeros(12, 2, 2)))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=9, unique=True))
def test_a_number_in_text_is_that_number(tmp_path_factory: pytest.TempPathFactory, numbers: list[float]) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    pd.DataFrame({"x": range(len(numbers)), "y": numbers}).to_csv(path, index=False)
    if len(np.unique(np.array(numbers, np.float32))) > 1:
        np.testing.assert_array_equal(read(path=path, target="y").targets[:, 0], np.array(numbers, np.float32))


def source_of(rows: int) -> data.Source:
    values = np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32)
    values[::5] = np.nan
    return data.Source(np.zeros((rows, 1)), values, ("a", "b"), "array", "s", (1,))


def test_real_targets_are_divided_at_random_and_labels_drawn_at_random() -> None:
    source = source_of(100)
    parts = split(source, labels=10, valid=0.25, test=0.25, seed=0)
    assert (len(parts.test), len(parts.valid), len(parts.labelled)) == (20, 15, 10)
    assert sorted([*parts.train, *parts.valid, *parts.test]) == list(range(100))
    assert source.known[np.concatenate([parts.test, parts.valid, parts.labelled])].all()
    again = split(source, labels=30, valid=0.25, test=0.25, seed=0)
    np.testing.assert_array_equal(parts.test, again.test)
    other = split(source, labels=10, valid=0.25, test=0.25, seed=1)
    assert parts.test.tolist() != other.test.tolist()
    assert len(choose_labelled(source, parts.train, labels=1, seed=0)) == 1
    with pytest.raises(UsageError, match="only 45 training rows"):
        choose_labelled(source, parts.train, labels=46, seed=0)


def test_real_targets_are_divided_by_group_and_in_time() -> None:
    source, groups = source_of(100), np.arange(100) // 5
    parts = split(source, labels="all", valid=0.2, test=0.2, seed=0, groups=groups)
    sides = [set(groups[part].tolist()) for part in (parts.train, parts.valid, parts.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert all(sides)
    late = split(source, labels="all", valid=0.2, test=0.2, seed=0, order=np.arange(100))
    assert late.train.max() < late.valid.min() <= late.valid.max() < late.test.min()


@pytest.mark.parametrize(
    ("offset", "spread", "fits"),
    [(1e9, 100.0, False), (1e9, 1.0, False), (1e12, 1e9, True), (2e3, 10.0, True), (0.0, 1e-9, True)],
)
def test_a_target_that_single_precision_would_change_is_refused_and_the_named_cure_works(
    offset: float, spread: float, fits: bool
) -> None:
    """A time in seconds since 1970 has steps of 128 in single precision."""
    y = offset + spread * np.random.default_rng(0).normal(size=50)

    def made(values: np.ndarray) -> np.ndarray:
        return read_targets(TargetCells("array", values, 50, "y", "the data"), None).values

    if fits:
        np.testing.assert_allclose(made(y)[:, 0], y, atol=1e-3 * spread)
        return
    with pytest.raises(RejectedError, match="Subtract a fixed number from it") as found:
        made(y)
    named = float(str(found.value).split("such as ")[1].split(",")[0])
    np.testing.assert_allclose(made(y - named)[:, 0], y - named, atol=1e-3 * spread)
