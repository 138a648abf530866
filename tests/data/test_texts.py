"""Files of texts: every format reads the same, and each bad one is named with its lines or rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data.files.jsonlines import read_jsonl
from stillhouse.data.reading.files import read_text_inputs
from stillhouse.data.source import Source
from stillhouse.errors import RejectedError, StillhouseError, UsageError
from tests.data.reading import read_texts

ROWS = [
    {"id": 7, "text": 'It "works",\nand well.', "label": "pos", "site": "a"},
    {"id": 8, "text": "Überhaupt nicht 😀; gar\tnicht", "label": "neg", "site": "b"},
    {"id": 9, "text": "no opinion", "label": None, "site": "a"},
    {"id": 10, "text": "  fine  by me ", "label": "pos", "site": None},
]


def written(folder: Path, suffix: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    path = folder / f"reviews.{suffix}"
    frame = pd.DataFrame(rows)
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    return path


def stripped(source: Source) -> list[str]:
    return [str(text).strip() for text in source.raw]  # the table reader takes the blanks before a cell away


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_texts_and_labels(tmp_path: Path, suffix: str) -> None:
    source = read_texts(written(tmp_path, suffix), keep=["site"])
    assert stripped(source) == [str(row["text"]).strip() for row in ROWS]
    assert (source.names, source.targets.tolist()) == (("neg", "pos"), [1, 0, -1, 1])
    assert (source.kind, source.shape, source.name, source.column) == ("text", (), "reviews", "text")
    assert source.ignored == ("id", "label", "site")
    assert source.kept["site"].tolist() == ["a", "b", "a", None]
    assert isinstance(source.raw, np.ndarray)
    assert source.raw.dtype == object
    assert list(map(str.strip, read_text_inputs(written(tmp_path, suffix), "text"))) == stripped(source)


def test_the_longest_column_of_text_is_taken_where_none_is_called_text(tmp_path: Path) -> None:
    rows = [{"n": "1" * 90, "name": "x" * i, "review": f"this is long {i}", "class": i % 2} for i in range(1, 9)]
    for suffix in ("csv", "jsonl", "parquet"):
        source = read_texts(written(tmp_path, suffix, rows))
        assert source.column == "review"
        assert source.names == ("0", "1")
        assert read_texts(written(tmp_path, suffix, rows), column="name").column == "name"
        assert read_texts(written(tmp_path, suffix, rows), drop=["review"]).column == "name"
        assert read_text_inputs(written(tmp_path, suffix, rows)).tolist() == [row["review"] for row in rows]


def test_a_file_without_a_header_is_read_whichever_side_the_label_is_on(tmp_path: Path) -> None:
    path = tmp_path / "r8.tsv"
    path.write_text("earn\tprofit rose in may\nacq\ttakeover of a bank\nearn\tloss fell in june\nacq\tstake sold\n")
    source = read_texts(path)
    assert (source.column, source.names, source.targets.tolist()) == ("1", ("acq", "earn"), [1, 0, 1, 0])
    path.write_text("profit rose in may\tearn\ntakeover of a bank\tacq\nloss fell in june\tearn\nstake sold\tacq\n")
    for target in (None, "1", "last"):
        source = read_texts(path, target=target)
        assert (source.column, source.targets.tolist(), source.header) == ("0", [1, 0, 1, 0], False)
    path.write_text("one text to predict on\nanother text\n")
    assert read_text_inputs(path, "0").tolist() == ["one text to predict on", "another text"]


def test_labels_are_named_and_numbered_as_in_tables(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": label} for i, label in enumerate([2, None, 10, 2.0, ""])]
    source = read_texts(written(tmp_path, "jsonl", rows))
    assert (source.names, source.targets.tolist()) == (("2", "10"), [0, -1, 1, 0, -1])
    source = read_texts(written(tmp_path, "jsonl", rows), classes=["10", "2", "3"])
    assert (source.names, source.targets.tolist()) == (("10", "2", "3"), [1, -1, 0, 1, -1])


def test_jsonl_keys_that_a_line_lacks_are_gaps_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"text": "a\\u2028b", "label": true}\r\n\n{"text": "c", "label": false}\n{"text": "d"}'
    )
    source = read_texts(path)
    assert list(source.raw) == ["a\u2028b", "c", "d"]
    assert (source.names, source.targets.tolist()) == (("False", "True"), [1, 0, -1])
    assert read_jsonl(path).shape == (3, 2)


@settings(max_examples=50)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip), min_size=2, max_size=9)
)
def test_any_text_comes_back_from_jsonl(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("t") / "t.jsonl"
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="\n")
    assert list(read_texts(path).raw) == texts


def test_row_hashes_are_those_of_the_utf8_bytes_and_the_fingerprint_knows_each_text(tmp_path: Path) -> None:
    source = read_texts(written(tmp_path, "jsonl"))
    assert source.row_hashes([1]).tolist() == [xxhash.xxh3_64_intdigest(str(ROWS[1]["text"]).encode("utf-8"))]
    assert list(source.take([2, 0])) == [ROWS[2]["text"], ROWS[0]["text"]]
    other = [dict(row, text=str(row["text"]) + "!" * (i == 2)) for i, row in enumerate(ROWS)]
    assert read_texts(written(tmp_path, "jsonl", other)).fingerprint() != source.fingerprint()
    assert read_texts(written(tmp_path, "jsonl")).fingerprint() == source.fingerprint()


def content(data: bytes | str, name: str = "t.jsonl") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def lines(*texts: Any) -> str:
    return "".join(json.dumps({"text": text, "label": i % 2}) + "\n" for i, text in enumerate(texts))


BAD: dict[str, tuple[Callable[[Path], Path], dict[str, Any], type[StillhouseError], str]] = {
    "missing file": (lambda f: f / "no.jsonl", {}, RejectedError, "no.jsonl cannot be read"),
    "missing csv": (lambda f: f / "no.csv", {}, RejectedError, "no.csv cannot be read"),
    "other suffix": (content("x", "t.docx"), {}, UsageError, "Known: .csv"),
    "latin-1 csv": (
        content("text,label\nplain,a\ncaf\u00e9,b\n".encode("latin-1"), "t.csv"),
        {},
        RejectedError,
        r"t.csv: line 3 \(counted from 1\) is not UTF-8 text: byte 0xe9",
    ),
    "latin-1 jsonl": (
        content(lines("a").encode() + b'{"text": "\xff"}\n'),
        {},
        RejectedError,
        "t.jsonl: line 2 .*0xff",
    ),
    "utf-16": (content("text,label\na,b\n".encode("utf-16")[:-1], "t.csv"), {}, RejectedError, "no utf-16.* text"),
    "empty text": (
        content(lines("a", "", "b", " \n\t", "c")),
        {},
        RejectedError,
        "t.jsonl: .*'text': rows 1, 3 .*empty",
    ),
    "blank text in csv": (
        content('text,label\na,x\n" ",y\n', "t.csv"),
        {},
        RejectedError,
        "t.csv: .*row 1 .*empty text",
    ),
    "no-break spaces": (content(lines("a", "\u00a0\u3000")), {}, RejectedError, "row 1 .*empty text"),
    "null text": (content(lines("a", None, "b")), {}, RejectedError, "row 1 .*hold no text"),
    "number as text": (content(lines("a", 5, "b")), {}, RejectedError, "row 1 .*hold a int, not text"),
    "long text": (content(lines("a", "b" * 100_001)), {}, RejectedError, "row 1 .*more than 100,000 characters"),
    "half a character": (content(lines("a", "b\ud800")), {}, RejectedError, "row 1 .*surrogate"),
    "no object": (
        content(lines("a") + '[1]\n{"text": 1\n\n"x"\n'),
        {},
        RejectedError,
        r"lines 2, 3, 5 .*no JSON object",
    ),
    "deep nesting": (content("[" * 100_000 + "\n"), {}, RejectedError, r"line 1 \(counted from 1\) hold no JSON"),
    "missing column": (content(lines("a", "b")), {"column": "txt"}, RejectedError, "no column 'txt'.*mean 'text'"),
    "missing label": (
        content(lines("a", "b")),
        {"target": "labl"},
        RejectedError,
        "'labl' for the label.*mean 'label'",
    ),
    "missing dropped": (content(lines("a", "b")), {"drop": ["is"]}, RejectedError, "no column 'is'"),
    "missing kept": (content(lines("a", "b")), {"keep": ["site"]}, RejectedError, "no column 'site'"),
    "no label column": (content('{"text": "a", "kind": 1}\n'), {}, UsageError, "which column holds the label"),
    "one column for both": (content(lines("a", "b")), {"target": "text", "column": "text"}, UsageError, "both"),
    "nested label": (content('{"text": "a", "label": [1]}\n'), {}, RejectedError, "row 0 .*lists or objects"),
    "no text column": (content('{"n": 1, "label": 1}\n{"n": 2, "label": 2}\n'), {}, RejectedError, "no column of text"),
    "texts alone": (content("some text\nother text\n", "t.tsv"), {}, UsageError, "which column holds the label"),
    "no rows": (content("text,label\n", "t.csv"), {}, RejectedError, "no rows"),
    "one class": (content('{"text": "a", "label": 1}\n' * 2), {}, RejectedError, "only one class"),
    "empty file": (content("", "t.csv"), {}, RejectedError, "is empty"),
    "empty jsonl": (content("\n"), {}, RejectedError, "t.jsonl is empty"),
    "not parquet": (content("PAR1", "t.parquet"), {}, RejectedError, "t.parquet cannot be read as Parquet"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, case: str) -> None:
    write, fields, error, message = BAD[case]
    with pytest.raises(error, match=message):
        read_texts(write(tmp_path), **fields)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (lines("a", ""), "text", "t.jsonl: column 'text': row 1 .*empty"),
        (lines("a"), "body", "no column 'body'.*Known: 'label', 'text'|no column 'body'"),
        ('{"label": 3}\n', None, "no column of text"),
    ],
)
def test_bad_texts_to_predict_on_are_refused_with_their_place(
    tmp_path: Path, text: str, column: str | None, message: str
) -> None:
    with pytest.raises(RejectedError, match=message):
        read_text_inputs(content(text)(tmp_path), column)


def test_a_text_of_exactly_the_greatest_length_is_read(tmp_path: Path) -> None:
    assert len(read_text_inputs(content(lines("b" * 100_000))(tmp_path), "text")[0]) == 100_000
