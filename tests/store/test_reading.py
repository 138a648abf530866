from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import RejectedError, UsageError
from stillhouse.store import Field, Key, Store, Writer
from stillhouse.store.fields import narrow, widen
from tests.store import tiny
from tests.store.fifty_lines import Reader

TORCH = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def keep(folder: Path, field: Field, values: Any, block_rows: int = 3) -> Store:
    with Writer(folder, tiny.KEY, [field], rows=len(values), views=values.shape[1], block_rows=block_rows) as writer:
        for rows in writer.missing():
            writer.put(rows.start, {field.name: values[rows.start : rows.stop]})
        return writer.close()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 2, 2)])
def test_floats_come_back_as_torch_rounds_them(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(scale=50, size=(8, 3, *shape)).astype(np.float32)
    found = tiny.whole(keep(tmp_path / "s", Field("logits", shape, dtype), values))["logits"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, torch.from_numpy(values).to(TORCH[dtype]).float().numpy())


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
def test_integers_come_back_as_they_are(tmp_path: Path, dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([[limits.min, -1], [0, limits.max]])[..., None]
    found = tiny.whole(keep(tmp_path / "s", Field("indices", (1,), dtype), values))["indices"]
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("repeats", [1, 5000], ids=["short", "long"])
def test_every_finite_half_is_widened_exactly(repeats: int) -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    pieces = [halves] if repeats > 1 else np.array_split(halves, 64)
    wide = np.concatenate([widen(Field("x", (), "float16"), piece) for piece in pieces])
    np.testing.assert_array_equal(wide.view(np.uint32), halves.astype(np.float32).view(np.uint32))


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1))
def test_bfloat16_rounds_as_torch_does(numbers: list[float]) -> None:
    values, field = np.array(numbers, np.float32), Field("x", (), "bfloat16")
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(widen(field, narrow(field, values)), expected)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), rows=st.integers(1, 9), views=st.integers(1, 3), block=st.integers(1, 10))
def test_any_batch_in_any_order_is_what_numpy_indexing_gives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, rows: int, views: int, block: int
) -> None:
    values = np.random.default_rng(rows).integers(-99, 99, (rows, views, 2))
    store = keep(tmp_path_factory.mktemp("s") / "s", Field("x", (2,), "int32"), values, block)
    asked = data.draw(st.lists(st.tuples(st.integers(0, rows - 1), st.integers(0, views - 1)), min_size=1))
    row, view = np.array(asked).T
    np.testing.assert_array_equal(store.read(row, view)["x"], values[row, view])


def test_a_reader_of_fifty_lines_of_numpy_reads_it(tmp_path: Path) -> None:
    assert len((Path(__file__).parent / "fifty_lines.py").read_text().splitlines()) <= 50
    tiny.label(tmp_path / "s")
    reader, expected = Reader(tmp_path / "s"), tiny.answers(tiny.inputs())
    for row in range(tiny.ROWS):
        for view in range(tiny.VIEWS):
            for name, value in reader.read(row, view).items():
                np.testing.assert_array_equal(value, expected[name][row, view])


def test_the_key_fields_and_sizes_are_told(tmp_path: Path) -> None:
    tiny.label(tmp_path / "s")
    store = Store.open(tmp_path / "s", tiny.KEY)
    assert (store.rows, store.views, store.key, store.fields) == (tiny.ROWS, tiny.VIEWS, tiny.KEY, tiny.FIELDS)
    assert store.nbytes == sum((tmp_path / "s" / f.file).stat().st_size for f in tiny.FIELDS)


def test_an_incomplete_store_is_read_up_to_what_is_committed(tmp_path: Path) -> None:
    with Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=tiny.ROWS, views=tiny.VIEWS, block_rows=4) as writer:
        assert Store.open(tmp_path / "s").rows_done == 0
        writer.put(0, tiny.answers(tiny.inputs()[:4]))
        store = Store.open(tmp_path / "s")
        assert (store.complete, store.rows_done) == (False, 4)
        np.testing.assert_array_equal(store.read(np.array([3]), np.array([1]))["top"], [10])
        with pytest.raises(RejectedError, match=r"Rows 4-7 .* not labelled yet \(4 of 10"):
            store.read(np.array([0, 4]), np.array([0, 0]))


@pytest.mark.parametrize(("row", "view"), [(-1, 0), (10, 0), (0, 2), (0, -1)])
def test_a_row_or_view_outside_the_store_is_refused(tmp_path: Path, row: int, view: int) -> None:
    tiny.label(tmp_path / "s")
    with pytest.raises(UsageError, match="rows 0-9 and views 0-1"):
        Store.open(tmp_path / "s").read(np.array([row]), np.array([view]))


@pytest.mark.parametrize(
    ("dtype", "bad"), [("float32", np.nan), ("float16", 7e4), ("float16", -7e4), ("bfloat16", np.inf), ("int16", 40000)]
)
def test_values_that_the_format_cannot_hold_are_refused_with_their_rows(tmp_path: Path, dtype: str, bad: float) -> None:
    values = np.zeros((6, 1, 2), np.int64 if dtype == "int16" else np.float64)
    values[4, 0, 1] = bad
    with pytest.raises(RejectedError, match=r"rows 4\)"):
        keep(tmp_path / "s", Field("logits", (2,), dtype), values)


def test_the_logarithm_of_zero_is_kept_as_the_lowest_half(tmp_path: Path) -> None:
    values = np.array([[[0.0, -np.inf]]])
    half = tiny.whole(keep(tmp_path / "h", Field("logits", (2,), "float16"), values))["logits"]
    single = tiny.whole(keep(tmp_path / "f", Field("logits", (2,), "float32"), values))["logits"]
    assert half.tolist() == [[[0.0, -65504.0]]]
    assert single.tolist() == [[[0.0, -np.inf]]]


@pytest.mark.parametrize(
    ("name", "shape", "dtype"), [("", (2,), "int16"), (".x", (), "int16"), ("x", (0,), "int16"), ("x", (), "float64")]
)
def test_a_field_that_cannot_be_kept_is_refused(name: str, shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(UsageError):
        Field(name, shape, dtype)


def test_keys_differ_for_plain_reasons() -> None:
    key = Key({"teacher": "a", "preprocessing": "b", "codec": "c"})
    other = Key({"codec": "c", "preprocessing": "x", "teacher": "y", "mood": "z"})
    assert key.why(other) == ["mood differs", "preprocessing differs", "teacher weights differ"]
    assert key.why(Key({"codec": "c", "teacher": "a", "preprocessing": "b"})) == []
    assert key.digest != other.digest
    assert hash(key) == hash(Key(dict(key.parts)))
