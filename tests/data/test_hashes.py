"""Content hashes: equal where the content is, different where one cell is."""

import numpy as np
import pandas as pd
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stillhouse.data import Source
from stillhouse.data.source import row_hashes

TABLE = pd.DataFrame(
    {"n": [1.0, np.nan, -0.0, 1.0], "t": pd.Series(["a", None, "b", "a"], dtype=object), "u": [0.0, 1.0, 2.0, 0.0]}
)


def source(raw: pd.DataFrame | np.ndarray, labels: list[int], name: str = "s") -> Source:
    return Source(raw, np.array(labels), ("a", "b"), "table" if isinstance(raw, pd.DataFrame) else "array", name, (3,))


def test_an_array_row_is_hashed_by_xxh3_with_its_structure_as_seed() -> None:
    raw = np.arange(6, dtype=np.float32).reshape(2, 3)
    seed = xxhash.xxh3_64_intdigest(b"<f4(3,)")
    assert row_hashes(raw).tolist() == [xxhash.xxh3_64_intdigest(row.tobytes(), seed) for row in raw]


@given(arrays.arrays(np.int16, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.integers(0, 2)))
def test_array_rows_have_equal_hashes_exactly_where_they_are_equal(raw: np.ndarray) -> None:
    hashes = row_hashes(raw)
    for i in range(len(raw)):
        for j in range(len(raw)):
            assert (hashes[i] == hashes[j]) == bool((raw[i] == raw[j]).all())


def test_hashes_of_chosen_rows_are_those_of_all_rows() -> None:
    for raw in (TABLE, np.random.default_rng(0).normal(size=(4, 2, 3))):
        it = source(raw, [0, 1, 0, 1])
        np.testing.assert_array_equal(it.row_hashes([3, 1]), it.row_hashes()[[3, 1]])


def test_table_rows_are_hashed_by_content_whatever_the_column_order() -> None:
    hashes = row_hashes(TABLE)
    assert hashes[0] == hashes[3]
    assert len(set(hashes.tolist())) == 3
    np.testing.assert_array_equal(hashes, row_hashes(TABLE[["u", "t", "n"]]))
    assert row_hashes(TABLE.assign(n=[1.0, np.nan, 0.0, 1.0]))[2] == hashes[2]


def test_a_renamed_or_retyped_column_changes_every_hash() -> None:
    hashes = row_hashes(TABLE)
    retyped = TABLE.assign(u=pd.Series(["0", "1", "2", "0"], dtype=object))
    for other in (TABLE.rename(columns={"u": "v"}), retyped, TABLE.drop(columns="u")):
        assert not (row_hashes(other) == hashes).any()


def test_memory_layout_and_byte_order_do_not_matter() -> None:
    raw = np.random.default_rng(0).normal(size=(5, 4, 3))
    for same in (np.asfortranarray(raw), raw.astype(">f8"), raw[::-1].copy()[::-1]):
        np.testing.assert_array_equal(row_hashes(same), row_hashes(raw))


@pytest.mark.parametrize("raw", [TABLE, np.arange(12).reshape(4, 3)])
def test_the_fingerprint_knows_inputs_labels_and_their_order(raw: pd.DataFrame | np.ndarray) -> None:
    it = source(raw, [0, 1, 0, -1])
    assert it.fingerprint() == source(raw, [0, 1, 0, -1], name="other").fingerprint()
    assert it.fingerprint() != source(raw, [0, 1, 0, 1]).fingerprint()
    assert it.fingerprint() != source(it.take([1, 0, 2, 3]), [0, 1, 0, -1]).fingerprint()
    assert len(it.fingerprint()) == 16


def test_a_hundred_thousand_rows_are_hashed() -> None:
    table = pd.DataFrame(np.arange(1_000_000.0).reshape(100_000, 10)).rename(columns=str)
    assert len(np.unique(row_hashes(table))) == 100_000
