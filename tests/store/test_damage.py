from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import xxhash

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.store import Damage, Field, Key, Store, Writer, repair, verify
from tests.store import tiny

LOGITS, FEATURE, TOP = (f.file for f in tiny.FIELDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete, sound store."""
    tiny.label(tmp_path / "s")
    return tmp_path / "s"


def read_all(folder: Path) -> None:
    tiny.whole(Store.open(folder, tiny.KEY))


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def test_each_of_2000_flipped_bits_is_found(folder: Path) -> None:
    files = sorted(tiny.contents(folder))
    bits = [(folder / name, bit) for name in files for bit in range(8 * (folder / name).stat().st_size)]
    assert verify(folder) == []
    for path, bit in random.Random(0).sample(bits, 2000):
        flip(path, bit)
        found = verify(folder)
        assert [d.shard for d in found] == [path.name]
        if path.name in (LOGITS, FEATURE, TOP, "manifest.json"):
            with pytest.raises(DamagedError):
                read_all(folder)
        flip(path, bit)
    assert verify(folder) == []


def test_every_bit_of_the_manifest_counts(folder: Path) -> None:
    path = folder / "manifest.json"
    for bit in range(0, 8 * path.stat().st_size, 5):
        flip(path, bit)
        with pytest.raises(DamagedError, match=r"manifest\.json"):
            Store.open(folder)
        flip(path, bit)


@pytest.mark.parametrize("name", [LOGITS, FEATURE, TOP, "manifest.json"])
@pytest.mark.parametrize("size", [0, 1, 100, 150])
def test_a_truncated_file_is_named(folder: Path, name: str, size: int) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:size])
    with pytest.raises(DamagedError, match=f"{name}.*truncated"):
        read_all(folder)
    assert [d.shard for d in verify(folder)] == [name]


def test_a_shard_that_grew_is_named(folder: Path) -> None:
    with (folder / TOP).open("ab") as file:
        file.write(b"\0")
    assert verify(folder) == [Damage(TOP, None, "the file is too long: 169 bytes instead of 168")]


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / FEATURE).unlink()
    with pytest.raises(DamagedError, match=f"{FEATURE}: the file is missing.*store repair"):
        read_all(folder)


def test_swapped_shards_are_named_with_where_their_blocks_come_from(tmp_path: Path) -> None:
    twins = [Field("a", (2,), "int32"), Field("b", (2,), "int32")]
    values = np.arange(12).reshape(6, 1, 2)
    with Writer(tmp_path / "s", tiny.KEY, twins, rows=6, views=1, block_rows=4) as writer:
        for rows in writer.missing():
            part = values[rows.start : rows.stop]
            writer.put(rows.start, {"a": part, "b": -part})
    a, b = tmp_path / "s" / "a.npy", tmp_path / "s" / "b.npy"
    a.rename(tmp_path / "c.npy")
    b.rename(a)
    (tmp_path / "c.npy").rename(b)
    with pytest.raises(DamagedError, match=r"a\.npy, block 0: swapped: it holds block 0 of b\.npy"):
        Store.open(tmp_path / "s").read(np.array([0]), np.array([0]))
    assert len(verify(tmp_path / "s")) == 4


def test_a_shard_of_another_store_is_called_foreign(folder: Path, tmp_path: Path) -> None:
    tiny.label(tmp_path / "other", tiny.inputs() + 100, Key({"teacher": "other"}))
    shutil.copy(tmp_path / "other" / LOGITS, folder / LOGITS)
    found = verify(folder)
    assert [(d.shard, d.block) for d in found] == [(LOGITS, 0), (LOGITS, 1), (LOGITS, 2)]
    assert all(d.what.startswith("foreign") for d in found)


def test_a_file_that_is_not_the_stores_is_named(folder: Path) -> None:
    (folder / "extra.npy").write_bytes(b"x")
    assert verify(folder) == [Damage("extra.npy", None, "foreign: not a file of this store")]


def test_only_touched_blocks_are_checked_and_a_damaged_one_is_never_used(folder: Path) -> None:
    flip(folder / LOGITS, 8 * ((folder / LOGITS).stat().st_size - 1))
    store = Store.open(folder, tiny.KEY)
    assert store.read(np.array([0]), np.array([0]))["top"].tolist() == [0]
    for _ in range(2):
        with pytest.raises(DamagedError, match=f"{LOGITS}, block 2"):
            store.read(np.array([9]), np.array([0]))
    assert len(Store.open(folder, verify=False).read(np.array([9]), np.array([0]))) == 3


def test_another_key_is_refused_with_the_reasons(folder: Path) -> None:
    wrong = Key({**tiny.KEY.parts, "teacher": "t2", "codec": "topk:8:float16"})
    with pytest.raises(RejectedError, match="codec differs, teacher weights differ"):
        Store.open(folder, wrong)
    with pytest.raises(RejectedError, match="codec differs, teacher weights differ"):
        tiny.label(folder, key=wrong)


def test_an_equal_key_with_other_shapes_is_refused(folder: Path) -> None:
    with pytest.raises(RejectedError, match="other views"):
        tiny.label(folder, views=3)


def test_a_newer_format_is_refused_by_its_number(folder: Path) -> None:
    body = (folder / "manifest.json").read_bytes().split(b"\n", 1)[1].replace(b'"version": 1', b'"version": 7')
    head = f'{{"checksum": "{xxhash.xxh3_128_hexdigest(body)}",\n'.encode()
    (folder / "manifest.json").write_bytes(head + body)
    with pytest.raises(RejectedError, match=r"version 7.*Upgrade"):
        Store.open(folder)


def test_a_store_written_by_version_1_is_read_and_still_written_the_same_way(folder: Path) -> None:
    old = Path(__file__).parent / "version1"
    tiny.assert_answers(Store.open(old, tiny.KEY))
    assert verify(old) == []
    assert tiny.contents(folder) == tiny.contents(old)


def test_a_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="There is no store"):
        Store.open(tmp_path / "none")


@pytest.mark.parametrize("name", [LOGITS, FEATURE, TOP])
def test_repair_asks_only_for_the_damaged_block_and_restores_every_bit(folder: Path, name: str) -> None:
    sound = tiny.contents(folder)
    flip(folder / name, 8 * ((folder / name).stat().st_size - 1))
    assert [(d.shard, d.block) for d in repair(folder)] == [(name, 2)]
    assert Store.open(folder).rows_done == 8
    assert tiny.label(folder) == [8, 9]
    assert tiny.contents(folder) == sound


def test_repair_of_a_truncated_shard_keeps_the_blocks_that_are_whole(folder: Path) -> None:
    sound = tiny.contents(folder)
    (folder / LOGITS).write_bytes(sound[LOGITS][:-1])
    repair(folder)
    assert tiny.label(folder) == [8, 9]
    assert tiny.contents(folder) == sound


def test_repair_of_a_missing_shard_asks_for_its_rows(folder: Path) -> None:
    sound = tiny.contents(folder)
    (folder / TOP).unlink()
    assert repair(folder)[0] == Damage(TOP, None, "the file is missing")
    assert tiny.label(folder) == list(range(10))
    assert tiny.contents(folder) == sound


def test_repair_restores_headers_manifest_and_copy_without_asking(folder: Path) -> None:
    sound = tiny.contents(folder)
    for name in (LOGITS, "manifest.json"):
        flip(folder / name, 100)
    assert {d.shard for d in repair(folder)} == {LOGITS, "manifest.json"}
    flip(folder / "manifest.copy.json", 100)
    repair(folder)
    assert tiny.label(folder) == []
    assert tiny.contents(folder) == sound


def test_repair_says_so_when_nothing_tells_which_blocks_are_right(folder: Path) -> None:
    flip(folder / "manifest.json", 100)
    flip(folder / "manifest.copy.json", 100)
    with pytest.raises(DamagedError, match="no intact copy"):
        repair(folder)


def test_damaged_row_hashes_are_named_and_written_again_by_labelling(folder: Path) -> None:
    sound = tiny.contents(folder)
    flip(folder / "row_hashes.npy", 8 * 130)
    assert [d.shard for d in verify(folder)] == ["row_hashes.npy"]
    assert tiny.label(folder) == []
    assert tiny.contents(folder) == sound


@pytest.mark.fault("B8", "a store that is cut short in place while it is mapped", exit=5)
def test_a_shard_that_is_cut_short_while_it_is_read_is_an_error_and_no_end(tmp_path: Path) -> None:
    tiny.label(tmp_path)
    store = Store.open(tmp_path)
    rows = np.arange(tiny.ROWS)
    whole = store.read(rows, np.zeros_like(rows))
    shard = tmp_path / store.fields[0].file
    kept = shard.read_bytes()
    os.truncate(shard, 10)
    for reads_views in (True, False):
        with pytest.raises(DamagedError, match=rf"{shard.name}: the file was cut to 10 bytes.*store repair"):
            store.read(rows, np.zeros_like(rows)) if reads_views else store.raw(rows)
    shard.write_bytes(kept)
    assert all(np.array_equal(found, whole[name]) for name, found in store.read(rows, np.zeros_like(rows)).items())
