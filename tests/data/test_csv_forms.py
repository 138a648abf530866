"""The forms in which programs write CSV: encodings, ends of lines, lines before the header, commas too many."""

import gzip
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data import Source, encoder_from_state, fit_encoder, read_inputs
from stillhouse.data.encoders.table import TableEncoder
from stillhouse.data.files.csvfile import open_csv, read_csv
from stillhouse.errors import RejectedError, UsageError
from tests.data.reading import read

HEADER = ["age", "town", "label"]
ROWS = [[str(20 + i), ["Köln", "東京", "Rio"][i % 3], "ab"[i % 2]] for i in range(12)]
LINES = [",".join(row) for row in [HEADER, *ROWS]]
PLAIN = "\n".join(LINES) + "\n"


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(path: Path, target: str | None = "label", **settings: Any) -> tuple[Source, pd.DataFrame]:
    """A source, and its inputs in memory."""
    source = read(path=path, target=target, **settings)
    return source, pd.DataFrame(source.take(np.arange(len(source))))


def check(path: Path) -> None:
    """The file is read as the table above, in memory and on disk, and to predict on, with each further row."""
    for on_disk in (None, path.parent / "rows"):
        source, frame = table(path, on_disk=on_disk)
        assert source.names == ("a", "b")
        assert list(frame.columns) == ["age", "town"]
        np.testing.assert_array_equal(frame["age"], np.arange(20.0, 32.0))
        assert list(frame["town"]) == [row[1] for row in ROWS]
        assert source.targets.tolist() == [0, 1] * 6
    encoder = encoder_from_state(fit_encoder(source, np.arange(12)).state())
    found = pd.DataFrame(read_inputs(path, encoder).rows)
    assert encoder.encode(found).shape == (len(found), *encoder.shape)
    assert list(found["town"]) == [row[1] for row in ROWS] + [""] * (len(found) - 12)


def utf16(text: str, order: str) -> bytes:
    return ("\ufeff" + text).encode(f"utf-16-{order}")


FORMS: dict[str, bytes | str] = {
    "plain": PLAIN,
    "a mark of UTF-8": "\ufeff" + PLAIN,
    "UTF-16, least first": utf16(PLAIN, "le"),
    "UTF-16, greatest first": utf16(PLAIN, "be"),
    "UTF-32": ("\ufeff" + PLAIN).encode("utf-32-le"),
    "UTF-16 with tabs, as Excel writes": utf16(PLAIN.replace(",", "\t").replace("\n", "\r\n"), "le"),
    "lines end in CR": PLAIN.replace("\n", "\r"),
    "lines end in CR LF": PLAIN.replace("\n", "\r\n"),
    "no end of the last line": PLAIN.rstrip("\n"),
    "sep=;": "sep=;\n" + PLAIN.replace(",", ";"),
    "sep=; quoted, CR LF": '"sep=;"\r\n' + PLAIN.replace(",", ";").replace("\n", "\r\n"),
    "SEP=, in UTF-16": utf16("SEP=,\r\n" + PLAIN, "le"),
    "sep of another character": "sep=~\n" + PLAIN.replace(",", "~"),
    "a comment": "# made by a program\n" + PLAIN,
    "comments with commas": "# a, b\n#c,d,e,f\n" + PLAIN,
    "a comment of as many fields": "# x, y, z\n" + PLAIN,
    "% comments": "% one\n% two, three\n" + PLAIN,
    "a title": "Sales of 2024\n" + PLAIN,
    "a title and an empty line": "Sales of 2024\n\n" + PLAIN,
    "a title that Excel filled up": "Sales of 2024,,\n,,\n" + PLAIN,
    "a title in quotes": '"Sales, of 2024"\n' + PLAIN,
    "names and values above the header": "Station,12\nDate,2024-01-01\n\n" + PLAIN,
    "sep, title and comment": "sep=;\nTitle\n# x\n" + PLAIN.replace(",", ";"),
    "empty lines": "\n\n" + PLAIN.replace("\n", "\n\n"),
    "a comma at the end of each line": PLAIN.replace("\n", ",\n"),
    "commas at the end of each line": PLAIN.replace("\n", ",,,\n"),
    "commas at the end of the rows": LINES[0] + "\n" + "".join(f"{line},\n" for line in LINES[1:]),
    "commas at the end of some rows": "\n".join(line + ",," * (i % 3 == 1) for i, line in enumerate(LINES)) + "\n",
    "blanks and commas at the end": PLAIN.replace("\n", ", ,\n"),
    "rows of nothing at the end": PLAIN + ",,\n" * 5,
    "a column of nothing first": "".join(f",{line}\n" for line in LINES),
    "a column of nothing within": "".join(line.replace(",", ",,", 1) + "\n" for line in LINES),
    "a title, and commas at the end": "Title,,,\n" + PLAIN.replace("\n", ",\n"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_table(tmp_path: Path, form: str) -> None:
    content = FORMS[form]
    check(written(tmp_path, content))
    raw = content.encode() if isinstance(content, str) else content
    check(written(tmp_path, gzip.compress(raw), "t.csv.gz"))


def test_gzip_is_known_by_its_bytes_and_tables_of_every_kind_may_be_packed(tmp_path: Path) -> None:
    check(written(tmp_path, gzip.compress(PLAIN.encode())))
    check(written(tmp_path, PLAIN, "t.csv.gz"))
    check(written(tmp_path, gzip.compress(PLAIN.replace(",", "\t").encode()), "t.TSV.GZ"))
    lines = pd.DataFrame([[int(row[0]), *row[1:]] for row in ROWS], columns=HEADER).to_json(
        orient="records", lines=True
    )
    check(written(tmp_path, gzip.compress(lines.encode()), "t.jsonl.gz"))
    check(written(tmp_path, utf16(lines, "le"), "t.jsonl"))


@pytest.mark.parametrize("form", ["a comma at the end of each line", "lines end in CR", "UTF-16, least first"])
def test_a_table_without_a_header_too(tmp_path: Path, form: str) -> None:
    text = "\n".join(",".join([row[0], "x", row[2]]) for row in ROWS) + "\n"
    plain = read(path=written(tmp_path, text))
    shaped: dict[str, str | bytes] = {
        "a comma at the end of each line": text.replace("\n", ",\n"),
        "lines end in CR": text.replace("\n", "\r"),
        "UTF-16, least first": utf16(text, "le"),
    }
    found = read(path=written(tmp_path, shaped[form]))
    assert (found.fingerprint(), found.names, len(found)) == (plain.fingerprint(), ("a", "b"), 12)


def test_a_last_column_that_fills_late_is_kept(tmp_path: Path) -> None:
    text = "".join(f"{i},{i % 7},{'ab'[i % 2] if i > 500 else ''}\n" for i in range(600))
    source = read(path=written(tmp_path, text))
    assert (source.names, int(source.known.sum())) == (("a", "b"), 99)


@pytest.mark.parametrize("target", [None, "label"])
def test_a_header_that_begins_with_a_comment_mark_stays_one(tmp_path: Path, target: str | None) -> None:
    _, frame = table(written(tmp_path, "#chrom,pos,label\nchr1,100,a\nchr2,200,b\nchr1,300,b\n"), target)
    assert list(frame.columns) == ["#chrom", "pos"]
    _, frame = table(written(tmp_path, "#word,label\nx,a\ny,b\nx,b\n"), target)
    assert list(frame.columns) == ["#word"]


def test_texts_that_begin_with_a_comment_mark_are_rows(tmp_path: Path) -> None:
    path = written(tmp_path, '"# a heading",a\n"no heading, but words",b\n"# more of it",a\n')
    source = read(text=path)
    assert list(source.take([0, 1, 2])) == ["# a heading", "no heading, but words", "# more of it"]


def test_lines_that_are_not_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stillhouse")
    read(path=written(tmp_path, "Sales\n# by hand\n" + PLAIN), target="label")
    assert "2 lines before the header are not read: 'Sales'; '# by hand'" in caplog.text


REFUSED = {
    "a row too long": (PLAIN + "1,2,3,4\n", "line 14 .*4 fields in line 14, 3 in"),
    "a row too short": (PLAIN + "1,2\n", "line 14 .*2 fields"),
    "a comment within": (PLAIN + "# end\n", "line 14 .*1 field in"),
    "names of rows without a name, as R writes": ("a,label\nx,1,p\ny,2,q\n", "3 fields in line 2, 2 in the first line"),
    "two columns without a name": (",,label\n1,2,a\n3,4,b\n", r"columns 1, 2 \(counted from 1\) have no name"),
    "a title above an odd table": ("Title\n" + PLAIN + "1,2\n", "line 15 .*2 fields"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("on_disk", [False, True])
def test_what_is_no_table_is_refused_with_its_lines(tmp_path: Path, case: str, on_disk: bool) -> None:
    content, message = REFUSED[case]
    with pytest.raises(RejectedError, match=message):
        read(path=written(tmp_path, content), target="label", on_disk=tmp_path / "rows" if on_disk else None)


OTHERS = {"t.zip": "Unpack it", "t.xlsx": "Save the sheet as CSV", "t.json": "Write one object on each line"}


@pytest.mark.parametrize(("name", "cure"), OTHERS.items())
def test_other_kinds_of_files_are_refused_with_the_cure(tmp_path: Path, name: str, cure: str) -> None:
    with pytest.raises(UsageError, match=rf"cannot be read\. {cure}.*\.csv\.gz"):
        read(path=written(tmp_path, b"PK", name))


@pytest.mark.parametrize("text", ['x\n1\n""\n3\n', 'x\n1\n3\n""\n', 'x\n\n1\n  \n""\n\n3\n'])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_quoted_empty_cell_is_a_row_and_a_line_of_blanks_is_none(tmp_path: Path, text: str, pieces: bool) -> None:
    path = written(tmp_path, text)
    found = pd.concat(open_csv(path)[2]) if pieces else read_csv(path)[0]
    truth = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True)
    assert found["x"].tolist() == truth["x"].tolist()
    assert len(found) == 3


def test_rows_without_values_at_the_end_are_told_and_each_has_an_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, "a,b\n" + "1,2\n3,4\n" * 5 + ",\n,\n")
    with caplog.at_level("INFO", "stillhouse"):
        frame = read_csv(path)[0]
    assert len(frame) == 10
    assert "2 rows without values at the end are not read" in caplog.text
    encoder = TableEncoder.fit(frame.astype(float))
    assert read_inputs(path, encoder).rows["b"].tolist() == ["2", "4"] * 5 + ["", ""]
    assert encoder.encode(read_inputs(path, encoder).rows).shape == (12, 2)


GERMAN = [1234.5, 2234.25, 3.5, 0.125]
SEMICOLONS: dict[str, tuple[list[str], list[float]]] = {
    "comma": (["1234,5", "2234,25", "3,5", "0,125"], GERMAN),
    "comma and thousands": (["1.234,5", "2.234,25", "3,5", "0,125"], GERMAN),
    "point": (["1234.5", "2234.25", "3.5", "0.125"], GERMAN),
    "point and thousands": (["1,234.5", "2,234.25", "3.5", "0.125"], GERMAN),
    "exponent": (["1,2345e3", "2234,25", "3,5E0", "1,25e-1"], GERMAN),
}


@pytest.mark.parametrize("form", SEMICOLONS)
@pytest.mark.parametrize("on_disk", [False, True])
def test_numbers_beside_semicolons_are_read_as_their_column_shows(tmp_path: Path, form: str, on_disk: bool) -> None:
    cells, values = SEMICOLONS[form]
    path = written(tmp_path, "x;label\n" + "".join(f"{cell};{'ab'[i % 2]}\n" for i, cell in enumerate(cells * 5)))
    found = table(path, on_disk=tmp_path / "rows" if on_disk else None)[1]
    np.testing.assert_allclose(found["x"], values * 5)


def test_thousands_beside_semicolons_are_ambiguous_until_another_column_decides(tmp_path: Path) -> None:
    whole = 1000 + 7 * np.arange(40)
    for other, factor in ((None, 0), ("0,5", 1000), ("1.234,5", 1000), ("0.5", 1)):
        rows = [f"{x:,}" + (f";{other}" if other else "") + f";{'ab'[i % 2]}\n" for i, x in enumerate(whole)]
        path = written(tmp_path, ("x;y;label\n" if other else "x;label\n") + "".join(rows))
        if other:
            np.testing.assert_allclose(table(path)[1]["x"], whole / factor)
            continue
        with pytest.raises(RejectedError, match="the comma may mark the decimals or the thousands"):
            table(path)
        np.testing.assert_allclose(table(path, types={"x": "decimal_comma"})[1]["x"], whole / 1000)
        np.testing.assert_allclose(table(path, types={"x": "decimal_point"})[1]["x"], whole)


@pytest.mark.parametrize("late", [0, 5000])
def test_blanks_before_a_quote_are_no_part_of_a_cell_and_others_are(tmp_path: Path, late: int) -> None:
    plain = "".join(f"{i}, some words,{'ab'[i % 2]}\n" for i in range(late + 4))
    path = written(tmp_path, "x,note,label\n" + plain)
    assert set(read_csv(path)[0]["note"]) == {" some words"}
    path = written(tmp_path, "x,note,label\n" + plain + f'{late + 4}, "some, words",a\n')
    found = read_csv(path)[0]
    assert found["note"].iloc[-1] == "some, words"
    assert len(found) == late + 5


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6).filter(
    lambda cell: cell == cell.strip() and not cell.startswith(("#", "%", "/"))
)


def quoted(rows: Sequence[Sequence[str]], separator: str, end: str, surplus: Sequence[int]) -> str:
    lines = (separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows)
    return "".join(line + separator * extra + end for line, extra in zip(lines, surplus, strict=True))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_table_in_any_form_is_the_plain_table(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(cells, cells), min_size=2, max_size=6))
    labels = [f"{b.replace('|', '').replace(';', '')}{i % 2}" for i, (_, b) in enumerate(rows)]  # each cell one label
    notes = [f"{a}." for a, _ in rows]
    records = [["number", "note", "label"], *map(list, zip(map(str, range(len(rows))), notes, labels, strict=True))]
    separator, end = data.draw(st.sampled_from(",;\t|")), data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    surplus = data.draw(st.lists(st.integers(0, 3), min_size=len(records), max_size=len(records)))
    before = data.draw(st.lists(st.sampled_from(["# a, b", "% x", "Title", "", "Title;;", ",,"]), max_size=4))
    text = "".join(line + end for line in before) + quoted(records, separator, end, surplus)
    text = data.draw(st.sampled_from(["", f"sep={separator}{end}"])) + text
    raw = data.draw(st.sampled_from([text.encode(), utf16(text, "le"), utf16(text, "be")]))
    raw = gzip.compress(raw) if data.draw(st.booleans()) else raw
    with TemporaryDirectory() as folder:
        source, frame = table(written(Path(folder), raw), types={"note": "categorical"})
    assert list(frame["note"]) == [row[1] for row in records[1:]]
    assert frame["number"].tolist() == list(range(len(rows)))
    assert [source.names[i] for i in source.targets] == [row[2].strip() for row in records[1:]]
