"""Tables from files: what is found by looking, and that the same table reads the same from every format."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.data import Source, fit_encoder, read_inputs
from stillhouse.data.files.csvlook import has_header
from stillhouse.errors import RejectedError, UsageError
from tests.data.reading import read


def frame_of(source: Source) -> pd.DataFrame:
    assert isinstance(source.raw, pd.DataFrame)
    return source.raw


def written(tmp_path: Path, text: str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8"))
    return path


IRIS = "length,width,colour,kind\n5.1,3.5,red,setosa\n4.9,,blue,setosa\n6.3,3.3,red,virginica\n5.8,2.7,,\n"


def test_a_table_with_a_header_gives_typed_columns_classes_and_an_unlabelled_row(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, IRIS), target="kind")
    assert source.names == ("setosa", "virginica")
    assert source.targets.tolist() == [0, 0, 1, -1]
    assert (source.kind, source.name, source.shape, source.ignored) == ("table", "table", (3,), ("kind",))
    frame = frame_of(source)
    np.testing.assert_array_equal(frame["width"], [3.5, np.nan, 3.3, 2.7])
    assert frame["colour"].tolist() == ["red", "blue", "red", None]


def test_without_a_header_columns_are_numbered_and_the_last_is_the_target(tmp_path: Path) -> None:
    body = "".join(IRIS.splitlines(keepends=True)[1:])
    plain = read(path=written(tmp_path, body))
    for target in ("3", "-1", "label", "last"):
        source = read(path=written(tmp_path, body), target=target)
        assert source.fingerprint() == plain.fingerprint()
    assert plain.names == ("setosa", "virginica")
    assert list(frame_of(plain).columns) == ["0", "1", "2"]
    assert read(path=written(tmp_path, body), target="2").names == ("blue", "red")


def test_what_looking_says_of_the_header_can_be_overridden(tmp_path: Path) -> None:
    years = "2019,2020,2021\n1,2,0\n3,4,1\n5,6,1\n"
    assert len(read(path=written(tmp_path, years), header=False, classes=["0", "1", "2021"])) == 4
    assert len(read(path=written(tmp_path, years), header=True, target="2021")) == 3


@pytest.mark.parametrize(
    ("records", "expected", "header"),
    [
        ([["a", "b"], ["1", "x"]], (), True),
        ([["1", "b"], ["1", "x"]], (), False),
        ([["x", "y"], ["x", "n"], ["q", "y"]], (), False),
        ([["size", "ok"], ["big", "y"], ["small", "n"]], (), True),
        ([["0", "1", "label"], ["3", "4", "a"]], ("label",), True),
        ([["a", "a"], ["1", "2"]], (), False),
        ([["x", "y"]], (), False),
        ([["x", "y"]], ("y",), True),
    ],
)
def test_the_header_is_found_by_looking(records: list[list[str]], expected: tuple[str, ...], header: bool) -> None:
    assert has_header(records, expected) is header


def test_quoted_fields_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    text = '\ufeffnote,"size, cm",label\r\n"a ""quoted"" text",1,x\r\n"two\r\nlines",2,y\r\n"comma, in it",3,x\r\n'
    source = read(path=written(tmp_path, text), target="label")
    frame = frame_of(source)
    assert list(frame.columns) == ["note", "size, cm"]
    assert frame["note"].tolist() == ['a "quoted" text', "two\r\nlines", "comma, in it"]
    assert frame["size, cm"].tolist() == [1.0, 2.0, 3.0]
    assert source.targets.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("separator", "suffix"), [(",", "csv"), (";", "csv"), ("\t", "csv"), ("\t", "tsv"), ("|", "txt")]
)
def test_the_separator_is_found_by_looking(tmp_path: Path, separator: str, suffix: str) -> None:
    source = read(path=written(tmp_path, IRIS.replace(",", separator), f"t.{suffix}"), target="kind")
    assert source.fingerprint() == read(path=written(tmp_path, IRIS), target="kind").fingerprint()


def test_decimal_commas_are_numbers_where_the_semicolon_separates(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, "a;b;label\n1,5;x;0\n-2;y;1\n,25;z;1\n"), target="label")
    assert frame_of(source)["a"].tolist() == [1.5, -2.0, 0.25]


def test_parquet_and_csv_of_one_table_give_the_same_source(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "number": [1.5, np.nan, -3.0, 1e300],
            "count": [1, 2, 3, 4],
            "flag": [True, False, True, True],
            "word": ["a", None, "c", "a"],
            "label": ["no", "yes", None, "no"],
        }
    )
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    from_parquet, from_csv = (read(path=tmp_path / name, target="label") for name in ("t.parquet", "t.csv"))
    pd.testing.assert_frame_equal(frame_of(from_parquet), frame_of(from_csv))
    assert from_parquet.fingerprint() == from_csv.fingerprint()
    assert from_csv.targets.tolist() == [0, 1, -1, 0]
    assert frame_of(from_csv)["flag"].tolist() == ["True", "False", "True", "True"]


def test_parquet_types_with_gaps_of_their_own_are_read(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "word": pd.Categorical(["b", "a", None]),
            "label": pd.array([1, 0, None], dtype="Int64"),
        }
    )
    table.to_parquet(tmp_path / "t.parquet")
    source = read(path=tmp_path / "t.parquet", target="label")
    frame = frame_of(source)
    np.testing.assert_array_equal(frame["whole"], [1, np.nan, 3])
    assert frame["flag"].tolist() == ["True", None, "False"]
    assert frame["word"].tolist() == ["b", "a", None]
    assert source.targets.tolist() == [1, 0, -1]


def test_booleans_are_written_alike_however_the_file_spells_them(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, "a,label\ntrue,0\nFALSE,1\nTrue,1\n"), target="label")
    assert frame_of(source)["a"].tolist() == ["True", "False", "True"]


def test_codes_with_leading_zeros_are_categories_and_plain_numbers_are_numbers(tmp_path: Path) -> None:
    source = read(
        path=written(tmp_path, "zip,n,z,label\n02139,10,0,a\n10001,020.5,0.5,b\n94107,3,-0.5,a\n"), target="label"
    )
    frame = frame_of(source)
    assert frame["zip"].tolist() == ["02139", "10001", "94107"]
    assert frame["n"].tolist() == ["10", "020.5", "3"]
    assert frame["z"].tolist() == [0.0, 0.5, -0.5]


def test_categories_with_numbers_as_names_need_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, "ward,x,label\n3,1,a\n12,2,b\n,3,a\n")
    assert frame_of(read(path=path, target="label"))["ward"].dtype == np.float64
    source = read(path=path, target="label", types={"ward": "categorical"})
    assert frame_of(source)["ward"].tolist() == ["3", "12", None]


@pytest.mark.parametrize("token", ["", "?", "NA", "NaN", "null", "None", "<NA>", "  "])
def test_the_usual_signs_of_a_gap_are_gaps_in_inputs(tmp_path: Path, token: str) -> None:
    frame = frame_of(read(path=written(tmp_path, f"a,b,label\n1,x,0\n{token},{token},1\n"), target="label"))
    np.testing.assert_array_equal(frame["a"], [1.0, np.nan])
    assert frame["b"].tolist() == ["x", None]


def test_a_column_of_gaps_alone_is_numeric_and_encodes_to_zero_and_a_mark(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, "a,b,label\n1,,0\n2,,1\n"), target="label")
    encoded = fit_encoder(source, np.array([0, 1])).encode(source.raw)
    assert encoded[:, 1:].tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_text_labels_stay_as_they_are_and_whole_numbers_are_sorted_by_value(tmp_path: Path) -> None:
    def classes(*labels: str) -> tuple[str, ...]:
        return read(path=written(tmp_path, "a,label\n" + "".join(f"1,{x}\n" for x in labels)), target="label").names

    assert classes("01", "1") == ("01", "1")
    assert classes("10", "9", "2") == ("2", "9", "10")
    assert classes("1.0", "0.0", "") == ("0", "1")
    assert classes("-1", "+1") == ("-1", "1")
    assert classes("NA", "None") == ("NA", "None")
    assert classes("b", "a", "nan", "NaN") == ("a", "b")
    assert classes("0.5", "1.5") == ("0.5", "1.5")
    assert classes("v1.0", "2.0") == ("2.0", "v1.0")


def test_declared_classes_fix_the_order(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, IRIS), target="kind", classes=["virginica", "setosa", "versicolor"])
    assert source.names == ("virginica", "setosa", "versicolor")
    assert source.targets.tolist() == [1, 1, 0, -1]


def test_dropped_columns_and_a_saved_index_are_no_inputs(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["p1", "p2", "p3"], "x": [1, 2, 3], "label": ["a", "b", "a"]})
    table.to_csv(tmp_path / "t.csv")
    source = read(path=tmp_path / "t.csv", target="label", drop=["id"])
    assert list(frame_of(source).columns) == ["x"]
    assert set(source.ignored) == {"", "id", "label"}


def test_a_first_column_that_is_no_row_number_stays(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, ",x,label\n5,1,a\n6,2,b\n"), target="label")
    assert list(frame_of(source).columns) == ["", "x"]


def test_the_target_is_found_by_its_usual_names(tmp_path: Path) -> None:
    for name in ("label", "target", "class"):
        assert read(path=written(tmp_path, f"a,{name},b\n1,x,2\n2,y,3\n")).names == ("x", "y")


def test_rows_to_predict_on_are_read_without_a_target(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, IRIS), target="kind")
    encoder = fit_encoder(source, np.arange(4))
    whole = encoder.encode(source.raw)
    for name, text in {
        "with_target.csv": IRIS,
        "without.csv": "colour,width,length\nred,3.5,5.1\nblue,,4.9\nred,3.3,6.3\n,2.7,5.8\n",
        "no_header.csv": "5.1,3.5,red\n4.9,,blue\n6.3,3.3,red\n5.8,2.7,\n",
    }.items():
        rows = read_inputs(written(tmp_path, text, name), encoder).rows
        assert encoder.encode(rows).equal(whole), name


def test_a_single_text_row_without_a_header_can_be_predicted_on(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, "x,p,no\ny,p,yes\nx,q,yes\nx,p,no\n"))
    encoder = fit_encoder(source, np.arange(4))
    rows = read_inputs(written(tmp_path, "x,q\n", "one.csv"), encoder).rows
    assert encoder.encode(rows).equal(encoder.encode(source.raw)[2:3])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False),
            st.text(
                st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp", "Cf"]), min_size=1, max_size=6
            ),
            st.sampled_from(["yes", "no"]),
        ),
        min_size=2,
        max_size=12,
    )
)
def test_what_pandas_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, str, str]]
) -> None:
    table = pd.DataFrame(rows, columns=["number", "text", "label"])
    path = tmp_path_factory.mktemp("t") / "t.csv"
    table.to_csv(path, index=False)
    if table["label"].nunique() < 2:
        with pytest.raises(RejectedError, match="only one class"):
            read(path=path, target="label", types={"text": "categorical"})
        return
    frame = frame_of(read(path=path, target="label", types={"text": "categorical"}))
    np.testing.assert_array_equal(frame["number"], table["number"])
    kept = [text for text, read_back in zip(table["text"], frame["text"], strict=True) if read_back is not None]
    assert [text for text in frame["text"] if text is not None] == [
        {"true": "True", "false": "False"}.get(text.lower(), text) for text in kept
    ]


@pytest.mark.parametrize("header", [True, False])
def test_numbers_as_column_names_are_read_for_prediction_as_they_were_for_training(
    tmp_path: Path, header: bool
) -> None:
    table = pd.DataFrame([[0, 1], [1, 0], [1, 1]])
    table.assign(label=["a", "b", "a"]).to_csv(tmp_path / "t.csv", index=False, header=header)
    table.to_csv(tmp_path / "rows.csv", index=False, header=header)
    source = read(path=tmp_path / "t.csv", target="label")
    encoder = fit_encoder(source, np.arange(3))
    assert encoder.encode(read_inputs(tmp_path / "rows.csv", encoder).rows).equal(encoder.encode(source.raw))


def test_a_usual_target_name_tells_a_header_with_numbers_in_it(tmp_path: Path) -> None:
    source = read(path=written(tmp_path, "2019,2020,label\n1,2,a\n3,4,b\n"))
    assert source.names == ("a", "b")


def test_an_unknown_name_in_drop_or_types_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, IRIS)
    with pytest.raises(UsageError, match="'colour'"):
        read(path=path, target="kind", drop=["color"])
    with pytest.raises(UsageError, match="'width'"):
        read(path=path, target="kind", types={"widht": "numeric"})
    with pytest.raises(UsageError, match="is the target"):
        read(path=path, target="kind", drop=["kind"])
