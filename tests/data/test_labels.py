"""Labels of every type are classes as in scikit-learn: sorted, distinct, in the user's type; gaps are no label."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import LabelEncoder

from stillhouse.data import Source
from stillhouse.errors import RejectedError
from stillhouse.recipe import parse
from tests.data.reading import from_torch, read

ROWS = 60
X = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
PLACES = np.arange(ROWS) % 2  # of labels in the lists below


def source_of(y: Any, **settings: Any) -> Source:
    """The rows X with labels, of which the first 40 train."""
    train = y.iloc[:40] if hasattr(y, "iloc") else y[:40]
    test = y.iloc[40:] if hasattr(y, "iloc") else y[40:]
    return from_torch((X[:40], train), None, (X[40:], test), **settings)[0]


LABELS: dict[str, Any] = {
    "tens": np.array([10, 20, 30])[np.arange(ROWS) % 3],
    "one to four": np.arange(ROWS) % 4 + 1,
    "minus and plus one": np.array([-1, 1])[PLACES],
    "negative": np.array([-2, -1, 0])[np.arange(ROWS) % 3],
    "truth": np.array([True, False])[PLACES],
    "postal codes": np.array([94110, 10001])[PLACES],
    "billions": (np.arange(ROWS) % 3) * 10**9,
    "unsigned": np.array([2**63 + 2, 2**63 + 1], np.uint64)[PLACES],
    "small integers": np.array([7, 3], np.int8)[PLACES],
    "whole floats": np.array([2.0, 1.0])[PLACES],
    "text": np.array(["b", "a"])[PLACES],
    "numbers as text": np.array(["10", "9", "100"])[np.arange(ROWS) % 3],
    "blanks around": np.array(["a ", "a"])[PLACES],
    "many": np.arange(ROWS) % 20,
}


@pytest.mark.parametrize("name", list(LABELS))
def test_classes_are_those_of_scikit_learn(name: str) -> None:
    y = LABELS[name]
    truth = LabelEncoder().fit(y)
    forms = [y, y.tolist(), list(y), pd.Series(y), pd.Series(pd.Categorical(y)), y[:, None], y.astype(object)]
    for form in forms if name != "unsigned" else forms[:1]:
        source = source_of(form)
        assert list(source.label_values) == truth.classes_.tolist()
        assert [type(one) for one in source.label_values] == [type(one) for one in truth.classes_.tolist()]
        np.testing.assert_array_equal(source.targets, truth.transform(y))


@settings(max_examples=60, deadline=None)
@given(
    st.data(),
    st.sampled_from(
        [
            st.integers(-(2**62), -2),
            st.integers(2, 2**62),
            st.booleans(),
            st.integers(-(2**40), -2).map(float),
            st.text(st.characters(codec="utf-8", exclude_characters="|;\0"), min_size=1).filter(
                lambda text: text.strip() and text not in ("nan", "NaN", "None", "<NA>", "NaT")
            ),
        ]
    ),
)
def test_labels_of_any_type_with_gaps_of_any_kind_are_coded_as_by_scikit_learn(data: Any, kind: Any) -> None:
    classes = data.draw(st.lists(kind, min_size=2, max_size=6, unique=True))
    draw = np.random.default_rng(data.draw(st.integers(0, 99)))
    labels = [*classes, *(classes[i] for i in draw.integers(0, len(classes), ROWS - len(classes)))]
    gap = data.draw(st.sampled_from([None, float("nan"), pd.NA, pd.NaT, ""]))
    gaps = np.r_[np.zeros(len(classes), bool), draw.random(ROWS - len(classes)) < 0.2]
    gaps[40:] = False
    source = source_of([gap if gone else one for one, gone in zip(labels, gaps, strict=True)])
    truth = LabelEncoder().fit(np.array(labels))
    assert list(source.label_values) == truth.classes_.tolist()
    assert source.targets.tolist() == np.where(gaps, -1, truth.transform(np.array(labels))).tolist()


GAPS: dict[str, Any] = {
    "nullable text": pd.Series(["b", pd.NA, "a", "b"] * 10, dtype="string"),
    "text of arrow": pd.Series(["b", pd.NA, "a", "b"] * 10, dtype="string[pyarrow]"),
    "nullable integers": pd.Series([7, pd.NA, 3, 7] * 10, dtype="Int64"),
    "nullable truth": pd.Series([True, pd.NA, False, True] * 10, dtype="boolean"),
    "categories": pd.Series(["b", None, "a", "b"] * 10, dtype="category"),
    "categories of integers": pd.Series([7, None, 3, 7] * 10, dtype="category"),
    "floats": pd.Series([7.0, np.nan, 3.0, 7.0] * 10),
    "objects": [7, None, 3, 7] * 10,
    "decimals": [Decimal(7), None, Decimal(3), Decimal("7.0")] * 10,
    "bytes": [b"b", None, b"a", b"b"] * 10,
    "items with a label": [{"label": 7}, None, {"label": 3}, {"label": 7}] * 10,
    "tensors": [torch.tensor(7), None, torch.tensor(3), torch.tensor([7])[0]] * 10,
    "empty text": ["b", "", "a", "b"] * 10,
    "blanks": ["b", "  ", "a", "b"] * 10,
}


@pytest.mark.parametrize("name", list(GAPS))
def test_a_gap_of_any_kind_is_no_label(name: str) -> None:
    y = GAPS[name]
    known = [y.iloc[2], y.iloc[0]] if hasattr(y, "iloc") else [y[2], y[0]]
    source, _ = from_torch((X[:40], y), None, (X[:2], known))
    assert source.targets.tolist() == [1, -1, 0, 1] * 10 + [0, 1]
    assert len(source.label_values) == 2


@pytest.mark.parametrize(
    ("items", "classes"),
    [
        ([{"x": torch.zeros(3), "label": n % 2 + 5} for n in range(8)], (5, 6)),
        ([{"image": torch.zeros(3), "label": "ab"[n % 2], "idx": n} for n in range(8)], ("a", "b")),
        ([(torch.zeros(3), {"label": n % 2 + 5}) for n in range(8)], (5, 6)),
        ([{"text": f"row {n}", "label": n % 2} for n in range(8)], (0, 1)),
        ([{"age": n, "city": "xy"[n % 2], "label": n % 2 == 0} for n in range(8)], (False, True)),
    ],
)
def test_items_may_name_their_label(items: list[Any], classes: tuple[Any, ...]) -> None:
    source, _ = from_torch(items, None, items)
    assert source.label_values == classes
    assert len(source) == 16
    dataset: Any = items
    loader: Any = torch.utils.data.DataLoader(dataset, batch_size=3)
    if "age" not in items[0]:
        assert from_torch(loader, None, items)[0].label_values == classes


# Values that mean no label


@pytest.mark.parametrize("value", [-1, 99, "?", "unknown", -1.0])
def test_a_declared_value_is_no_label_in_arrays_and_files(tmp_path: Path, value: Any) -> None:
    text = isinstance(value, str)
    y = [*("abab" if text else (0, 1, 0, 1)), value, value] * 4
    declared = parse({"data": {"no_label": value}}).data.no_label
    expected = [0, 1, 0, 1, -1, -1] * 4
    source, _ = from_torch((X[:24], y), None, (X[:2], y[:2]), no_label=declared)
    assert source.targets[:24].tolist() == expected
    np.savez(tmp_path / "a.npz", x=X[:24], y=np.array(y))
    assert read(arrays=tmp_path / "a.npz", no_label=declared).targets.tolist() == expected
    frame = pd.DataFrame({"x": X[:24, 0], "y": y})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for file in ("a.csv", "a.parquet"):
        found = read(path=tmp_path / file, target="y", no_label=declared)
        assert found.targets.tolist() == expected
        assert len(found.names) == 2


@pytest.mark.parametrize("labels", [[0, 1, -1], [-1, 0, 1, 2], [0.0, 1.0, -1.0], [5, -1, 7], ["a", "b", -1]])
def test_an_undeclared_minus_one_is_refused_with_the_line_that_declares_it(labels: list[Any]) -> None:
    y = [labels[i % len(labels)] for i in range(ROWS)]
    with pytest.raises(RejectedError, match=r"have the label -1 among .* write `\[data\] no_label = -1`") as caught:
        source_of(y)
    line = str(caught.value).split("[data] classes = ")[1].split("`")[0]
    classes = parse({"data": {"classes": eval(line)}}).data.classes  # the other cure, as it is written
    assert source_of(y, classes=classes).names == tuple(classes or ())
    train = [one for one in y if one != -1]
    hidden, _ = from_torch((X[:40], y[:40]), None, (X[:20], train[:20]), no_label="-1")
    assert (hidden.targets[:40] == -1).tolist() == [one == -1 for one in y[:40]]


def test_numbers_of_classes_in_a_file_are_refused_with_the_name_of_each(tmp_path: Path) -> None:
    classes, numbers = ["red", "green", "blue"], np.arange(24) % 3
    pd.DataFrame({"x": X[:24, 0], "y": numbers}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(RejectedError, match="0 is 'red', 1 is 'green', 2 is 'blue'"):
        read(path=tmp_path / "a.csv", target="y", classes=classes)
    pd.DataFrame({"x": X[:24, 0], "y": np.array(classes)[numbers]}).to_csv(tmp_path / "a.csv", index=False)
    assert read(path=tmp_path / "a.csv", target="y", classes=classes).targets.tolist() == numbers.tolist()


@pytest.mark.parametrize("text", ["nan", "NaN", "None", "<NA>", "NaT"])
def test_text_that_may_be_a_gap_is_a_class_or_none_as_the_user_says(text: str) -> None:
    y = np.array(["a", text, "b"])[np.arange(ROWS) % 3]
    with pytest.raises(RejectedError, match=rf"have the text '{text}'.*no_label = \"{text}\".*classes = "):
        source_of(y)
    assert source_of(y, classes=["a", text, "b"]).targets[:3].tolist() == [0, 1, 2]
    kept = np.where(np.arange(ROWS) >= 40, "a", y)
    assert source_of(kept, no_label=text).targets[:3].tolist() == [0, -1, 1]


@pytest.mark.parametrize("text", ["None", "NA", "N/A", "NULL", "<NA>"])
def test_a_class_called_as_programs_write_gaps_is_told_unless_it_is_declared(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + f"1,nan\n2,{text}\n3,a\n4,b\n" * 4)
    with pytest.warns(UserWarning, match=rf"have the label '{text}', which is a class.*no_label = \"{text}\""):
        found = read(path=tmp_path / "t.csv", target="y")
    assert set(found.names) == {text, "a", "b"}
    source = read(path=tmp_path / "t.csv", target="y", classes=["nan", text, "a", "b"])
    assert source.targets.tolist() == [0, 1, 2, 3] * 4
    hidden = read(path=tmp_path / "t.csv", target="y", no_label=text)
    assert (hidden.targets.tolist(), hidden.names) == ([-1, -1, 0, 1] * 4, ("a", "b"))


@pytest.mark.parametrize(
    ("value", "labels"), [(-1, [0, 1]), ("unknown", [0, 1]), (-1, ["a", "b"]), ("?", ["a", "b"]), (9, [True, False])]
)
def test_a_value_for_no_label_that_no_row_has_is_told_from_arrays_and_files(
    tmp_path: Path, value: Any, labels: list[Any]
) -> None:
    y, declared = labels * 12, parse({"data": {"no_label": value}}).data.no_label
    frame = pd.DataFrame({"x": X[:24, 0], "y": y})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    told = f"no row has the label '{re.escape(str(value))}', which .data. no_label"
    with pytest.warns(UserWarning, match=told):
        from_torch((X[:24], y), None, (X[:2], y[:2]), no_label=declared)
    for file in ("a.csv", "a.parquet"):
        with pytest.warns(UserWarning, match=told):
            read(path=tmp_path / file, target="y", no_label=declared)


@pytest.mark.parametrize(
    ("labels", "given"),
    [([0, 1], (0, 1)), ([0.0, 1.0], (0.0, 1.0)), ([False, True], (False, True)), (["no", "yes"], ("no", "yes"))],
)
def test_names_of_classes_are_for_display_and_answers_have_the_type_of_the_labels(
    labels: list[Any], given: tuple[Any, ...]
) -> None:
    source = source_of(labels * 30, classes=["no", "yes"])
    assert source.names == ("no", "yes")
    assert source.label_values == given
    assert [type(one) for one in source.label_values] == [type(one) for one in given]


# Files


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["3", "1", "20"], [1, 3, 20]),
        (["-1", "1", "1"], [-1, 1]),
        (["1.0", "0.0", ""], [0, 1]),
        (["1.5", "0.50", "0.5"], [0.5, 1.5]),
        (["True", "False", ""], [False, True]),
        (["true", "false", "TRUE"], [False, True]),
        (["01", "1", "2"], ["01", "1", "2"]),
        (["10", "9", "x"], ["10", "9", "x"]),
        ([" a", "a ", "b"], ["a", "b"]),
    ],
)
def test_labels_of_a_file_have_the_types_that_pandas_reads(tmp_path: Path, cells: list[str], values: list[Any]) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{cells[i % 3]}\n" for i in range(12)))
    source = read(path=tmp_path / "t.csv", target="y")
    assert list(source.label_values) == values
    assert [type(one) for one in source.label_values] == [type(one) for one in values]
    if not isinstance(values[0], str):
        column = pd.read_csv(tmp_path / "t.csv")["y"].dropna()
        np.testing.assert_array_equal(np.unique(column.to_numpy().astype(type(values[0]))), values)


# What is no class


NOT_CLASSES: dict[str, tuple[Any, str]] = {
    "real numbers": (X[:, 0], r"not a whole number.*name = \"regression\""),
    "counts": (np.arange(ROWS) * 7, r"60 different numbers in 60 rows.*name = \"regression\""),
    "ages": (np.arange(ROWS) % 45 + 18, r"45 different numbers .* from 18 to 62.*name = \"regression\""),
    "unique text": ([f"id {i}" for i in range(ROWS)], "60 different texts in 60 rows"),
    "text and numbers": (["a", 1] * 30, "text as a label, such as 'a', and rows 1, 3, .* a number, such as 1"),
    "infinity": ([0.0, 1.0, float("inf")] * 20, "rows 2, 5, .* infinity as a label"),
    "dates": (pd.date_range("2020", periods=ROWS), "a Timestamp as a label|a datetime as a label|a int as a label"),
    "intervals": (pd.Series(pd.cut(X[:, 0], 3)), r"an? Interval as a label.*astype\(str\)"),
    "one column a class": (np.eye(3)[np.arange(ROWS) % 3], r"argmax\(1\)"),
    "one column a label": (np.array([[1, 1], [0, 1]] * 30), r"0 and 1 for each label write .*name = \"multilabel\""),
    "numbers in columns": (X, r"several numbers for each row write .*name = \"regression\""),
    "joined labels": (["a", "b", "a|b"] * 20, r"rows 2, 5, .* several labels in a cell, such as 'a\|b'.*multilabel"),
    "lists": ([["a"], ["a", "b"]] * 30, "lists or objects.*multilabel"),
    "tags of words": ([["O", "B-PER", "O"], ["O"]] * 30, r"tags of each word \(token classification is not supported"),
    "tags as numbers": ([[0, 0, 3], [0]] * 30, "token classification is not supported"),
    "boxes": ([{"boxes": torch.zeros(1, 4), "labels": torch.ones(1)}] * ROWS, "detection and segmentation are not"),
    "masks": (np.zeros((ROWS, 4, 4), int), "detection and segmentation are not supported"),
}


@pytest.mark.parametrize("name", list(NOT_CLASSES))
def test_what_is_no_class_is_refused_with_the_way_to_go(name: str) -> None:
    y, message = NOT_CLASSES[name]
    with pytest.raises(RejectedError, match=message):
        source_of(y)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a question", "an answer")] * ROWS, "pairs of texts"),
        (np.array([["a question", "an answer"]] * ROWS), "pairs of texts"),
        ([{"query": "q", "passage": "p", "label": n % 2} for n in range(ROWS)], "pairs of texts"),
        ([{"tokens": ["a", "b"], "ner_tags": [0, 1]}] * ROWS, "token classification is not supported"),
        ([{"image": torch.zeros(3), "bbox": [[0, 0, 1, 1]], "id": 1}] * ROWS, "detection and segmentation"),
    ],
)
def test_rows_of_other_fields_are_named(rows: Any, message: str) -> None:
    part = rows if isinstance(rows[0], dict) else (rows, PLACES)
    with pytest.raises(RejectedError, match=message):
        from_torch(part, None, part)


def test_many_codes_with_a_few_rows_each_are_classes() -> None:
    x, y = np.zeros((1200, 1), np.float32), np.arange(1200) % 300
    assert len(from_torch((x, y), None, (x[:300], y[:300]))[0].names) == 300


def test_a_class_with_one_row_is_named() -> None:
    y = ["a", "b"] * 30
    y[7] = "lonely"
    with pytest.warns(UserWarning, match="class 'lonely' has only one row"):
        source_of(y)
