"""Rows that wait on disk are the rows that are read into memory, bit for bit."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stillhouse.data import Source, TextOptions, prepare, split
from stillhouse.data.files import csvfile
from stillhouse.data.formats import jsonl, parquet
from stillhouse.data.on_disk import mapped
from stillhouse.data.on_disk.mapped import MappedTable, MappedTexts
from stillhouse.errors import RejectedError, StillhouseError, StoppedError, UsageError
from tests.data.reading import read

ROWS = 700
WORDS = np.array(["copper", "still", "épée", "malt", "n-grams", "water"])


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is read, and every row encoded, in many pieces."""
    monkeypatch.setattr(csvfile, "PIECE_CELLS", 500)
    monkeypatch.setattr(jsonl, "PIECE_CELLS", 500)
    monkeypatch.setattr(parquet, "PIECE_ROWS", 97)
    monkeypatch.setattr(mapped, "PIECE_BYTES", 5000)


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "": np.arange(ROWS),
            "number": rng.normal(size=ROWS),
            "gaps": np.where(rng.random(ROWS) < 0.2, np.nan, rng.integers(0, 9, ROWS)),
            "text": rng.choice(["red", " blue", "", "NA", "True"], ROWS),
            "digits": rng.choice(["1", "2.5", ""], ROWS),
            "code": rng.choice(["01", "007"], ROWS),
            "truth": rng.random(ROWS) < 0.5,
            "site": rng.choice(["a", "b", "c"], ROWS),
            "label": rng.choice(["yes", "no", ""], ROWS),
        }
    )


def texts() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [" ".join(rng.choice(WORDS, 6)) for _ in range(ROWS)]
    return pd.DataFrame({"text": rows, "label": rng.choice(["yes", "no"], ROWS)})


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        lines = frame.to_dict("records")
        path.write_text("\n".join(json.dumps({k: v for k, v in line.items() if v == v}) for line in lines))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def write_arrays(path: Path) -> Path:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(ROWS, 4, 5)).astype(np.float32), rng.integers(0, 3, ROWS)
    if path.suffix == ".npz":
        np.savez_compressed(path, x=x, y=y)
        return path
    path.mkdir()
    np.save(path / "x.npy", x)
    np.save(path / "y.npy", y)
    return path


def write_images(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    for i in range(40):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (8, 9, 3) if i == 7 else (8, 9)
        Image.fromarray(rng.integers(0, 255, shape).astype(np.uint8)).save(path)
    return folder


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    sides = {"drop": ["site"], "keep": ["site"]}
    return {
        "csv": {"path": write(table(), folder / "t.csv"), **sides},
        "tsv": {"path": write(table(), folder / "t.tsv"), **sides},
        "parquet": {"path": write(table(), folder / "t.parquet"), **sides},
        "jsonl": {"path": write(table(), folder / "t.jsonl"), **sides},
        "text csv": {"text": write(texts(), folder / "w.csv")},
        "text parquet": {"text": write(texts(), folder / "w.parquet")},
        "text jsonl": {"text": write(texts(), folder / "w.jsonl")},
        "npz": {"arrays": write_arrays(folder / "x.npz")},
        "npy": {"arrays": write_arrays(folder / "arrays")},
        "images": {"images": write_images(folder / "images")},
        "named": {"name": "digits"},
    }


KINDS = ("csv", "tsv", "parquet", "jsonl", "text csv", "text parquet", "text jsonl", "npz", "npy", "images", "named")


@pytest.mark.parametrize("kind", KINDS)
def test_rows_on_disk_are_those_in_memory(tmp_path: Path, kind: str) -> None:
    settings = sources(tmp_path)[kind]
    memory = read(**settings)
    made, opened = (read(**settings, on_disk=tmp_path / "rows") for _ in range(2))
    for disk in (made, opened):
        assert isinstance(disk.raw, MappedTable | MappedTexts | np.memmap)
        same_source(memory, disk)
    drawn = split(memory, labels=20, valid=0.1, test=0.2, seed=0)
    options = TextOptions(vocabulary=64, length=12)
    whole, pieces = prepare(memory, drawn, options), prepare(opened, drawn, options, tmp_path / "rows")
    assert json.dumps(whole.encoder.state()) == json.dumps(pieces.encoder.state())
    for part in ("train", "valid", "test"):
        a, b = getattr(whole, part), getattr(pieces, part)
        assert a.inputs.dtype == b.inputs.dtype
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)


def same_source(memory: Source, disk: Source) -> None:
    for name in ("names", "label_values", "kind", "name", "shape", "ignored", "header", "as_is", "column"):
        assert getattr(memory, name) == getattr(disk, name), name
    assert np.array_equal(memory.targets, disk.targets)
    assert (memory.test is None) == (disk.test is None)
    assert np.array_equal(memory.row_hashes(), disk.row_hashes())
    assert memory.fingerprint() == disk.fingerprint()
    assert {k: v.tolist() for k, v in memory.kept.items()} == {k: v.tolist() for k, v in disk.kept.items()}
    rows = np.array([5, 0, 39, 5])
    a, b = memory.take(rows), disk.take(rows)
    if isinstance(a, pd.DataFrame):
        assert isinstance(b, pd.DataFrame)
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    else:
        assert isinstance(b, np.ndarray)
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


def bad_files(folder: Path) -> dict[str, dict[str, Any]]:
    broken = table().astype(object)
    broken.loc[[3, 650], "number"] = "seven"
    infinite = table()
    infinite.loc[[601], "number"] = np.inf
    empty = texts()
    empty.loc[[2, 640], "text"] = " "
    x = np.zeros((ROWS, 3))
    x[[4, 655]] = np.nan
    np.savez(folder / "nan.npz", x=x, y=np.arange(ROWS) % 2)
    (folder / "ragged.csv").write_text("a,b,label\n" + "1,2,x\n" * 650 + "1,2,3,4\n")
    (folder / "lines.jsonl").write_text('{"a": 1, "label": "x"}\n' * 600 + "no\n" + "[1]\n")
    (folder / "bytes.csv").write_bytes(b"text,label\n" + b"a word,x\n" * 640 + b"a w\xffrd,y\n")
    numeric = {"types": {"number": "numeric"}}
    return {
        "cells": {"path": write(broken, folder / "broken.csv"), **numeric},
        "infinite": {"path": write(infinite, folder / "infinite.parquet")},
        "texts": {"text": write(empty, folder / "empty.csv")},
        "arrays": {"arrays": folder / "nan.npz"},
        "fields": {"path": folder / "ragged.csv"},
        "lines": {"path": folder / "lines.jsonl"},
        "bytes": {"text": folder / "bytes.csv"},
        "nothing": {"path": folder / "absent.csv"},
        "target": {"path": folder / "broken.csv", "target": "labl"},
        "drop": {"path": folder / "broken.csv", "drop": ["sites"]},
    }


@pytest.mark.parametrize(
    "fault", ["cells", "infinite", "texts", "arrays", "lines", "bytes", "nothing", "target", "drop"]
)
def test_what_is_wrong_is_told_in_the_same_words(tmp_path: Path, fault: str) -> None:
    settings = bad_files(tmp_path)[fault]
    with pytest.raises((RejectedError, UsageError)) as memory:
        read(**settings)
    with pytest.raises((RejectedError, UsageError)) as disk:
        read(**settings, on_disk=tmp_path / "rows")
    assert str(memory.value) == str(disk.value)
    assert memory.type is disk.type
    assert not list((tmp_path / "rows").glob("[!.]*"))


def test_a_line_with_too_many_fields_is_named(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="652"):
        read(**bad_files(tmp_path)["fields"], on_disk=tmp_path / "rows")


def test_a_changed_table_is_read_anew_and_the_old_rows_go(tmp_path: Path) -> None:
    path, rows = write(table(), tmp_path / "t.csv"), tmp_path / "rows"
    before = read(path=path, on_disk=rows)
    (kept,) = rows.glob("[!.]*")
    changed = table()
    changed.loc[600, "number"] = 1e6
    after = read(path=write(changed, path), on_disk=rows)
    assert (before.row_hashes() != after.row_hashes()).nonzero()[0].tolist() == [600]
    assert not kept.exists()
    assert before.fingerprint() != after.fingerprint()  # what is mapped stays readable for who has it open


def test_rows_that_were_made_are_not_made_again(tmp_path: Path) -> None:
    path, rows = write(table(), tmp_path / "t.csv"), tmp_path / "rows"
    first = read(path=path, on_disk=rows)
    drawn = split(first, labels="all", valid=0.1, test=0.2, seed=0)
    prepare(first, drawn, on_disk=rows)
    files = {file: file.stat().st_mtime_ns for file in rows.rglob("[!.]*")}
    prepare(read(path=path, on_disk=rows), drawn, on_disk=rows)
    assert {file: file.stat().st_mtime_ns for file in rows.rglob("[!.]*")} == files


def test_what_an_interrupted_making_left_goes_and_nothing_of_the_users(tmp_path: Path) -> None:
    path, rows = write(table(), tmp_path / "t.csv"), tmp_path / "rows"
    for half in ("0123456789abcdef.part/0.npy", ".encoded-01.npy.7.tmp", "the user's own/notes"):
        (rows / half).parent.mkdir(parents=True, exist_ok=True)
        (rows / half).write_bytes(b"half")
    source = read(path=path, on_disk=rows)
    prepare(source, split(source, labels="all", valid=0.1, test=0.2, seed=0), on_disk=rows)
    assert (rows / "the user's own" / "notes").read_bytes() == b"half"
    assert not [*rows.glob("*.part"), *rows.glob("*.tmp"), *rows.glob("fit*")]


@contextmanager
def room_for(most: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_after_a_full_disk_the_same_calls_go_on(tmp_path: Path) -> None:
    path, rows = write(table(), tmp_path / "t.csv"), tmp_path / "rows"
    memory = read(path=path)
    drawn = split(memory, labels="all", valid=0.1, test=0.2, seed=0)
    with room_for(1_000), pytest.raises(StoppedError, match=r"cells\.arrow.*Free some space"):
        read(path=path, on_disk=rows)
    disk = read(path=path, on_disk=rows)
    with room_for(20_000), pytest.raises(StoppedError, match=r"encoded-.*Free some space"):
        prepare(disk, drawn, on_disk=rows)
    assert not [*rows.glob("*.part"), *rows.glob(".*.tmp")]
    assert torch.equal(prepare(disk, drawn, on_disk=rows).train.inputs, prepare(memory, drawn).train.inputs)


def test_writing_into_mapped_rows_does_not_reach_the_file(tmp_path: Path) -> None:
    values = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    mapped.write_array(tmp_path / "a.npy", values.shape, values.dtype, [values[:1], values[1:]])
    tensor = mapped.open_tensor(tmp_path / "a.npy")
    assert torch.equal(tensor, torch.from_numpy(values))
    tensor += 1
    assert np.array_equal(np.load(tmp_path / "a.npy", allow_pickle=False), values)


def test_a_cut_file_is_told_apart(tmp_path: Path) -> None:
    values = np.arange(1000.0)
    mapped.write_array(tmp_path / "a.npy", values.shape, values.dtype, [values])
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:500])
    with pytest.raises(StillhouseError, match=r"cannot be mapped.*run the same command again"):
        mapped.open_tensor(tmp_path / "a.npy")


def test_the_column_of_texts_must_be_named(tmp_path: Path) -> None:
    path = write(texts().rename(columns={"text": "words"}), tmp_path / "w.csv")
    with pytest.raises(UsageError, match="column = "):
        read(text=path, on_disk=tmp_path / "rows")
    same_source(read(text=path), read(text=path, column="words", on_disk=tmp_path / "rows"))
