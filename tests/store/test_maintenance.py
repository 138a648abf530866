from __future__ import annotations

from pathlib import Path

import pytest

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.store import Key, Writer, gc, ls, supersede, why
from tests.store import tiny

OTHER = Key({"teacher": "t2", "rows": "r1", "codec": "dense:float16"})


def test_why_says_what_differs_between_two_stores(tmp_path: Path) -> None:
    tiny.label(tmp_path / "a")
    tiny.label(tmp_path / "b", tiny.inputs(11), OTHER)
    assert why(tmp_path / "a", tmp_path / "a") == []
    assert why(tmp_path / "a", tmp_path / "b") == ["teacher weights differ", "the number of rows differs"]
    with pytest.raises(RejectedError, match="There is no store"):
        why(tmp_path / "a", tmp_path)


def test_ls_lists_every_store_below_with_what_is_done_and_what_is_wrong(tmp_path: Path) -> None:
    tiny.label(tmp_path / "runs" / "a" / "store")
    tiny.label(tmp_path / "runs" / "b" / "store", key=OTHER)
    (tmp_path / "runs" / "b" / "store" / "logits.npy").unlink()
    with Writer(tmp_path / "c", tiny.KEY, tiny.FIELDS, rows=10, views=2, block_rows=4) as writer:
        writer.put(8, tiny.answers(tiny.inputs()[8:]))
    tiny.label(tmp_path / "d")
    (tmp_path / "d" / "manifest.json").write_text("{}")
    c, d, a, b = ls(tmp_path)
    assert (c.folder, c.rows, c.rows_done, c.views, c.complete, c.problem) == (tmp_path / "c", 10, 2, 2, False, "")
    assert "checksum" in d.problem
    assert (a.digest, a.complete, a.fields) == (tiny.KEY.digest, True, tiny.FIELDS)
    assert a.nbytes == sum((a.folder / f.file).stat().st_size for f in tiny.FIELDS)
    assert (b.complete, b.problem) == (False, "logits.npy: the file is missing")
    assert [one.folder for one in ls(tmp_path / "c")] == [tmp_path / "c"]


def test_gc_clears_superseded_stores_and_leftovers_and_nothing_else(tmp_path: Path) -> None:
    tiny.label(tmp_path / "s")
    aside = supersede(tmp_path / "s")
    tiny.label(tmp_path / "s", key=OTHER)
    sound = tiny.contents(tmp_path / "s")
    leftover = tmp_path / "s" / "manifest.json.tmp"
    leftover.write_text("half")
    (tmp_path / "mine.txt").write_text("mine")
    assert sorted(gc(tmp_path)) == sorted([aside, leftover])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", "s"]
    assert tiny.contents(tmp_path / "s") == sound
    assert gc(tmp_path) == []


def test_gc_with_the_keys_in_use_deletes_the_stores_of_all_others(tmp_path: Path) -> None:
    tiny.label(tmp_path / "a")
    tiny.label(tmp_path / "b", key=OTHER)
    assert gc(tmp_path, keep=[OTHER.digest]) == [tmp_path / "a"]
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_gc_leaves_a_store_in_which_a_writer_works_and_files_that_are_not_the_stores(tmp_path: Path) -> None:
    tiny.label(tmp_path / "a")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    with Writer(tmp_path / "b", tiny.KEY, tiny.FIELDS, rows=10, views=2):
        assert gc(tmp_path, keep=[]) == [tmp_path / "a"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["notes.txt"]
    assert (tmp_path / "b" / "manifest.json").exists()


def test_gc_does_not_touch_a_store_whose_manifest_is_damaged(tmp_path: Path) -> None:
    tiny.label(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").write_text("{}")
    assert gc(tmp_path, keep=[]) == []
    with pytest.raises(DamagedError):
        why(tmp_path / "a", tmp_path / "a")


def test_supersede_does_not_move_a_store_that_is_being_written(tmp_path: Path) -> None:
    with (
        Writer(tmp_path / "s", tiny.KEY, tiny.FIELDS, rows=10, views=2),
        pytest.raises(RejectedError, match="Another process"),
    ):
        supersede(tmp_path / "s")
    assert (tmp_path / "s").exists()
