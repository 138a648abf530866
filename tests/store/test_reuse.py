"""Changed, added and removed rows cost only themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import RejectedError
from stillhouse.store import Key, Store, Writer, hash_rows, supersede, verify
from tests.store import tiny

NEW = Key({**tiny.KEY.parts, "rows": "r2"})


def renewed(tmp_path: Path, shown: tiny.Array, views: int, old: tiny.Array | None = None) -> list[int]:
    """Label old rows, then new ones with the old store at hand; returns the rows asked the second time."""
    tiny.label(tmp_path / "old", old, views=views)
    asked = tiny.label(tmp_path / "new", shown, NEW, views=views, reuse=tmp_path / "old")
    tiny.assert_answers(Store.open(tmp_path / "new", NEW), shown)
    assert verify(tmp_path / "new") == []
    return asked


@pytest.mark.parametrize("views", [1, 2])
def test_only_changed_rows_are_asked(tmp_path: Path, views: int) -> None:
    shown = tiny.inputs()
    shown[[1, 2, 9]] = 70
    assert renewed(tmp_path, shown, views) == [1, 2, 9]


@pytest.mark.parametrize("views", [1, 2])
def test_only_added_rows_are_asked(tmp_path: Path, views: int) -> None:
    assert renewed(tmp_path, tiny.inputs(13), views) == [10, 11, 12]


def test_removed_rows_cost_nothing(tmp_path: Path) -> None:
    assert renewed(tmp_path, np.delete(tiny.inputs(), [0, 5], axis=0), views=1) == []


def test_with_several_views_a_row_that_moved_is_asked_again_since_its_views_are_others(tmp_path: Path) -> None:
    assert renewed(tmp_path, np.delete(tiny.inputs(), 5, axis=0), views=2) == [5, 6, 7, 8]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=9), st.lists(st.integers(0, 6), min_size=1, max_size=9))
def test_with_one_view_exactly_the_unknown_contents_are_asked(
    tmp_path_factory: pytest.TempPathFactory, old: list[int], new: list[int]
) -> None:
    before, after = (np.array(rows, np.float32)[:, None] for rows in (old, new))
    asked = renewed(tmp_path_factory.mktemp("s"), after, views=1, old=before)
    assert asked == [i for i, row in enumerate(new) if row not in old]


def test_damaged_and_missing_blocks_of_the_old_store_are_asked_again(tmp_path: Path) -> None:
    with Writer(
        tmp_path / "old", tiny.KEY, tiny.FIELDS, rows=10, views=2, block_rows=4, row_hashes=hash_rows(tiny.inputs())
    ) as writer:
        for start, stop in ((0, 4), (8, 10)):
            writer.put(start, tiny.answers(tiny.inputs()[start:stop]))
    shard = tmp_path / "old" / "logits.npy"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert tiny.label(tmp_path / "new", key=NEW, reuse=tmp_path / "old") == list(range(4, 10))
    tiny.assert_answers(Store.open(tmp_path / "new", NEW))


def test_blocks_that_hold_are_committed_before_the_teacher_is_asked(tmp_path: Path) -> None:
    shown = tiny.inputs()
    shown[5] = 70
    tiny.label(tmp_path / "old")
    with Writer(
        tmp_path / "new",
        NEW,
        tiny.FIELDS,
        rows=10,
        views=2,
        block_rows=4,
        row_hashes=hash_rows(shown),
        reuse=tmp_path / "old",
    ) as writer:
        assert list(writer.missing()) == [range(5, 6)]
        assert Store.open(tmp_path / "new").read(np.array([9]), np.array([1]))["top"].tolist() == [28]


def test_nothing_is_reused_when_more_than_the_rows_differs(tmp_path: Path) -> None:
    tiny.label(tmp_path / "old")
    with pytest.raises(RejectedError, match="teacher weights differ"):
        tiny.label(tmp_path / "new", key=Key({**NEW.parts, "teacher": "t2"}), reuse=tmp_path / "old")


def test_nothing_is_reused_without_row_hashes(tmp_path: Path) -> None:
    with Writer(tmp_path / "old", tiny.KEY, tiny.FIELDS, rows=10, views=2) as writer:
        writer.put(0, tiny.answers(tiny.inputs()))
    with pytest.raises(RejectedError, match="row hashes are missing"):
        tiny.label(tmp_path / "new", key=NEW, reuse=tmp_path / "old")


def test_a_superseded_store_makes_room_for_the_one_that_reuses_it(tmp_path: Path) -> None:
    tiny.label(tmp_path / "s")
    aside = supersede(tmp_path / "s")
    assert aside.name.startswith("s.superseded-")
    assert tiny.label(tmp_path / "s", tiny.inputs(11), NEW, reuse=aside) == [10]


def test_rows_are_hashed_by_content_type_and_shape() -> None:
    rows = np.array([[1, 2], [1, 2], [2, 1]], np.float32)
    one, two, three = hash_rows(rows).tolist()
    assert one == two != three
    assert hash_rows(rows.astype(np.float64))[0] != one
    assert hash_rows(rows[:, :, None])[0] != one
    assert hash_rows(rows, np.arange(3))[0] != one
    assert hash_rows(rows[::-1])[0] == three
    assert hash_rows(np.asfortranarray(rows)).tolist() == [one, two, three]
