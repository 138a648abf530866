"""Parquet files, folders of parts, named indexes and Arrow lists: each is the plain table, or refused with the cure."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse import data
from stillhouse.data import Source, encoder_from_state, fit_encoder, read_inputs
from stillhouse.errors import RejectedError, UsageError
from stillhouse.tasks.multilabel.targets import read_targets as read_labels
from tests.data.reading import from_torch, read

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "x": RNG.normal(size=40),
        "n": np.arange(40) % 7,
        "flag": np.arange(40) % 3 == 0,
        "word": np.array(["a", "b", "c"], object)[np.arange(40) % 3],
        "label": np.array(["p", "q"], object)[np.arange(40) % 2],
    }
)


def frame_of(source: Source) -> pd.DataFrame:
    return pd.DataFrame(source.take(np.arange(len(source))))


def check_same(path: Path, wanted: pd.DataFrame, columns: list[str]) -> None:
    """The path is read as the table, in memory and on disk, and to predict on."""
    wanted.reset_index(drop=True).to_parquet(path.parent / "plain.parquet")
    plain = read(path=path.parent / "plain.parquet", target="label")
    for on_disk in (None, path.parent / "rows"):
        source = read(path=path, target="label", on_disk=on_disk)
        assert list(frame_of(source).columns) == columns
        assert (source.row_hashes().tolist(), source.names) == (plain.row_hashes().tolist(), plain.names)
        assert source.targets.tolist() == plain.targets.tolist()
    encoder = encoder_from_state(fit_encoder(source, np.arange(len(source))).state())
    assert torch.equal(encoder.encode(read_inputs(path, encoder).rows), encoder.encode(frame_of(source)))


INDEXES: dict[str, Any] = {
    "bool": "flag", "text": "word", "number": "x", "two levels": ["word", "n"], "the label": "label",
}  # fmt: skip


@pytest.mark.parametrize("case", INDEXES)
def test_a_named_index_of_a_file_is_a_column(tmp_path: Path, case: str) -> None:
    levels = [INDEXES[case]] if isinstance(INDEXES[case], str) else INDEXES[case]
    TABLE.set_index(INDEXES[case]).to_parquet(tmp_path / "t.parquet")
    order = [*levels, *(name for name in TABLE.columns if name not in levels)]
    check_same(tmp_path / "t.parquet", TABLE, [name for name in order if name != "label"])


def test_an_index_without_a_name_only_counts_rows_and_a_range_with_a_name_is_a_column(tmp_path: Path) -> None:
    TABLE.iloc[::-1].to_parquet(tmp_path / "t.parquet")
    check_same(tmp_path / "t.parquet", TABLE.iloc[::-1], ["x", "n", "flag", "word"])
    TABLE.set_axis(pd.RangeIndex(100, 180, 2, name="week")).to_parquet(tmp_path / "t.parquet")
    check_same(tmp_path / "t.parquet", TABLE.assign(week=range(100, 180, 2)), ["week", "x", "n", "flag", "word"])


@pytest.mark.parametrize("case", INDEXES)
def test_a_named_index_of_a_frame_is_a_column(case: str) -> None:
    if case == "the label":
        return
    inputs = TABLE.drop(columns="label")
    indexed = TABLE.set_index(INDEXES[case]).drop(columns="label")
    labels = TABLE["label"].to_numpy()
    plain, _ = from_torch((inputs, labels), None, (inputs[:9], labels[:9]))
    source, _ = from_torch((indexed, labels), None, (indexed[:9], labels[:9]))
    assert source.row_hashes().tolist() == plain.row_hashes().tolist()
    encoder = encoder_from_state(fit_encoder(source, np.arange(40)).state())
    assert torch.equal(encoder.encode(indexed), encoder.encode(inputs))


def test_a_named_index_that_training_did_not_have_is_left_out() -> None:
    inputs, labels = TABLE.drop(columns="label"), TABLE["label"].to_numpy()
    source, _ = from_torch((inputs, labels), None, (inputs[:9], labels[:9]))
    encoder = fit_encoder(source, np.arange(40))
    assert torch.equal(encoder.encode(inputs.rename_axis("id")), encoder.encode(inputs))


def test_a_column_and_an_index_of_one_name_are_one_or_refused() -> None:
    labels = TABLE["label"].to_numpy()
    same = TABLE.drop(columns="label").set_index("word", drop=False)
    source, _ = from_torch((same, labels), None, (same[:9], labels[:9]))
    assert list(frame_of(source).columns) == ["x", "n", "flag", "word"]
    other = same.set_axis(same.index.str.upper())
    with pytest.raises(RejectedError, match=r"column 'word' and an index 'word' with other cells.*rename_axis"):
        from_torch((other, labels), None, (other[:9], labels[:9]))
    renamed = other.rename_axis(index="...")
    assert "..." in frame_of(from_torch((renamed, labels), None, (renamed[:9], labels[:9]))[0])


def test_texts_with_a_named_index_stay_texts() -> None:
    texts = pd.DataFrame({"id": range(4), "review": ["a fine long film", "not a good film", "so bad a film", "good"]})
    given_rows = (texts.set_index("id"), ["y", "n", "n", "y"])
    assert from_torch(given_rows, None, given_rows)[0].kind == "text"


def parts(folder: Path, names: list[str], table: pd.DataFrame = TABLE) -> Path:
    for name, part in zip(names, np.array_split(np.arange(len(table)), len(names)), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        table.iloc[part].to_parquet(folder / name)
    return folder


PARTS = {
    "numbered": ["part-0.parquet", "part-1.parquet", "part-2.snappy.parquet"],
    "one": ["a.pq"],
    "in folders": ["a/0.parquet", "a/1.parquet", "b/0.parquet"],
}


@pytest.mark.parametrize("case", PARTS)
def test_a_folder_of_parts_is_one_table(tmp_path: Path, case: str) -> None:
    folder = parts(tmp_path / "t.parquet", PARTS[case])
    for litter in ("_SUCCESS", ".part-0.parquet.crc", "_metadata", "._part-0.parquet", "__MACOSX/._a.parquet"):
        (folder / litter).parent.mkdir(exist_ok=True)
        (folder / litter).write_bytes(b"\0")
    check_same(folder, TABLE, ["x", "n", "flag", "word"])
    folder.rename(tmp_path / "folder")
    check_same(tmp_path / "folder", TABLE, ["x", "n", "flag", "word"])


def test_folders_name_columns(tmp_path: Path) -> None:
    table = TABLE.sort_values(["word", "n"], ignore_index=True)
    for (word, n), part in table.groupby(["word", "n"]):
        (tmp_path / "t" / f"word={word}" / f"n={n}").mkdir(parents=True)
        part.drop(columns=["word", "n"]).to_parquet(tmp_path / "t" / f"word={word}" / f"n={n}" / "0.parquet")
    check_same(tmp_path / "t", table, ["x", "flag", "word", "n"])


def test_parts_with_a_named_index_and_of_other_types(tmp_path: Path) -> None:
    folder = parts(tmp_path / "t", ["0.parquet", "1.parquet"], TABLE.set_index("flag"))
    whole = TABLE.assign(x=TABLE["x"].where(TABLE.index < 20, np.arange(40)), n=TABLE["n"].where(TABLE.index >= 20))
    whole[:20].set_index("flag").astype({"n": object}).to_parquet(folder / "0.parquet")
    whole[20:].set_index("flag").astype({"x": int, "n": int}).to_parquet(folder / "1.parquet")
    check_same(folder, whole, ["flag", "x", "n", "word"])


@pytest.mark.parametrize(
    "names", [["train-0-of-1.parquet", "test-0-of-1.parquet"], ["test/0.parquet", "train/0.parquet"]]
)
def test_parts_called_train_and_test_fix_the_test(tmp_path: Path, names: list[str]) -> None:
    source = read(path=parts(tmp_path / "data", names), target="label")
    first, last = np.arange(20), np.arange(20, 40)
    assert source.test is not None
    assert source.test.tolist() == first.tolist()
    wanted = TABLE["x"][last if names[0].startswith("train") else first]
    np.testing.assert_array_equal(frame_of(source)["x"][:20], wanted)


def test_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = parts(tmp_path / "t", ["0.parquet", "1.parquet"])
    TABLE.rename(columns={"x": "y"}).to_parquet(folder / "1.parquet")
    with pytest.raises(RejectedError, match=r"parts 0\.parquet and 1\.parquet differ in the columns 'x', 'y'"):
        read(path=folder, target="label")
    (folder / "1.parquet").write_bytes(b"PAR1")
    with pytest.raises(RejectedError, match=r"1\.parquet cannot be read as Parquet"):
        read(path=folder, target="label")


@pytest.mark.parametrize("name", ["empty", "empty.parquet"])
def test_folders_of_nothing_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RejectedError, match=r"holds (no|neither) Parquet files"):
        read(path=tmp_path / name, target="label")


LISTS: list[Any] = [["a", "b"], ["b", "c"], [], None, ["c", "a"]] * 8
ARROW: dict[str, tuple[Any, Any]] = {
    "list": (pa.list_(pa.string()), ["a"]),
    "large list": (pa.large_list(pa.string()), ["a"]),
    "list of numbers": (pa.list_(pa.int64()), [1]),
    "fixed list": (pa.list_(pa.int64(), 2), [1, 2]),
    "struct": (pa.struct([("a", pa.int64())]), {"a": 1}),
    "map": (pa.map_(pa.string(), pa.int64()), [("a", 1)]),
    "binary": (pa.binary(), b"x"),
}


@pytest.mark.parametrize("case", ARROW)
@pytest.mark.parametrize("backed", [True, False])
def test_arrow_lists_are_no_inputs(tmp_path: Path, case: str, backed: bool) -> None:
    kind, cell = ARROW[case]
    column = pd.Series([cell] * 39 + [None], dtype=pd.ArrowDtype(kind))
    frame, labels = TABLE[["x"]].assign(tags=column if backed else column.astype(object)), TABLE["label"]
    refused = pytest.raises(RejectedError, match=r"'tags' holds lists or objects in rows 0, .*drop = \[\"tags\"\]")
    with refused:
        from_torch((frame, labels), None, (frame, labels))
    frame.assign(tags=column, label=labels).to_parquet(tmp_path / "t.parquet")
    for on_disk in (None, tmp_path / "rows"):
        with refused:
            read(path=tmp_path / "t.parquet", target="label", on_disk=on_disk)
        assert read(path=tmp_path / "t.parquet", target="label", drop=["tags"], on_disk=on_disk).shape == (1,)
    with pytest.raises((RejectedError, UsageError)):
        read(text=tmp_path / "t.parquet", column="tags", target="label")


def test_arrow_lists_are_labels_of_several_kinds(tmp_path: Path) -> None:
    tags = pd.Series(LISTS, dtype=pd.ArrowDtype(ARROW["list"][0]))
    wanted = [[1, 1, 0], [0, 1, 1], [0, 0, 0], [np.nan] * 3, [1, 0, 1]] * 8
    TABLE[["x"]].assign(tags=tags).to_parquet(tmp_path / "t.parquet")
    for on_disk in (None, tmp_path / "rows"):
        found = data.read(path=tmp_path / "t.parquet", target="tags", read_targets=read_labels, on_disk=on_disk)
        np.testing.assert_array_equal(found.targets, wanted)
    known = [row is not None for row in LISTS]
    for labels in (tags[known], tags[known].astype(object), [row for row in LISTS if row is not None]):
        part = (TABLE.loc[known, ["x"]], labels)
        own, _ = data.from_torch(part, None, part, read_targets=read_labels)
        np.testing.assert_array_equal(own.targets[:32], np.array(wanted)[known])


def test_lists_are_no_classes(tmp_path: Path) -> None:
    TABLE[["x"]].assign(tags=pd.Series(LISTS)).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(RejectedError, match="lists or objects"):
        read(path=tmp_path / "t.parquet", target="tags")


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=4), index=st.sampled_from([None, "x", "n", "flag", "word"]))
def test_a_table_cut_anywhere_is_the_same_table(cuts: list[int], index: str | None) -> None:
    order = ["x", "n", "flag", "word"]
    with TemporaryDirectory() as folder:
        (Path(folder) / "t").mkdir()
        for i, (start, end) in enumerate(pairwise([0, *sorted(cuts), 40])):
            part = TABLE.iloc[start:end]
            (part if index is None else part.set_index(index)).to_parquet(Path(folder) / "t" / f"{i}.parquet")
        names = order if index is None else [index, *(name for name in order if name != index)]
        check_same(Path(folder) / "t", TABLE, names)
