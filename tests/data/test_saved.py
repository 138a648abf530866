"""JSON lines, and folders as the ``datasets`` library writes them: Arrow streams beside JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stillhouse.errors import RejectedError, UsageError
from tests.data.reading import read, read_table
from tests.data.saved_folders import save

TEXTS = ["one good film", "a bad one indeed", "not so good again", "the worst of all"]
CLASS_LABEL = {"names": ["bad", "good"], "_type": "ClassLabel"}


def texts_in(folder: Path, labels: list[int], **more: list[Any]) -> Path:
    return save(folder, {"text": TEXTS, "label": labels, **more}, {"label": CLASS_LABEL})


def test_a_saved_set_of_texts_keeps_its_class_names_and_gaps(tmp_path: Path) -> None:
    source = read_table(texts_in(tmp_path / "films", [1, 0, -1, 0]))
    assert (source.kind, source.name, source.column, source.shape) == ("text", "films", "text", ())
    assert list(source.raw) == TEXTS
    assert source.names == ("bad", "good")
    assert source.targets.tolist() == [1, 0, -1, 0]
    assert source.label_values == (0, 1)  # what `dataset["label"]` holds
    assert read_table(tmp_path / "films", classes=["good", "bad"]).targets.tolist() == [0, 1, -1, 1]


def test_a_saved_table_is_a_table(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "age": [30, 41, None, 7],
        "site": ["a", "b", "a", None],
        "ill": ["yes", "no", "yes", None],
    }
    source = read_table(save(tmp_path / "t", columns, {}), target="ill")
    assert (source.kind, source.names, source.shape) == ("table", ("no", "yes"), (2,))
    assert source.targets.tolist() == [1, 0, 1, -1]
    np.testing.assert_array_equal(source.raw["age"], [30, 41, np.nan, 7])
    assert source.raw["site"].tolist() == ["a", "b", "a", None]


def test_the_test_part_of_several_is_fixed(tmp_path: Path) -> None:
    for part, labels in (("train", [1, 0, 1, 0]), ("test", [0, -1, 1, 1])):
        texts_in(tmp_path / "d" / part, labels)
    (tmp_path / "d" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    source = read_table(tmp_path / "d")
    assert source.targets.tolist() == [1, 0, 1, 0, 0, -1, 1, 1]
    assert source.test is not None
    assert source.test.tolist() == [4, 6, 7]  # the row without a label cannot be judged by


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RejectedError, match=r"state\.json"):
        read_table(tmp_path / "empty")
    folder = texts_in(tmp_path / "cut", [1, 0, 1, 0])
    shard = folder / "data-00000-of-00002.arrow"
    shard.write_bytes(shard.read_bytes()[:50])
    with pytest.raises(RejectedError, match="data-00000-of-00002"):
        read_table(folder)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../secret.arrow"}]}))
    with pytest.raises(RejectedError, match="lists no Arrow files of this folder"):
        read_table(folder)


def test_labels_outside_the_class_names_and_missing_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"row 2 \(counted from 0\) has a label outside"):
        read_table(texts_in(tmp_path / "a", [1, 0, 5, 0]))
    with pytest.raises(UsageError, match="which column holds the label"):
        read_table(save(tmp_path / "b", {"text": TEXTS}, {}))
    with pytest.raises(UsageError, match="Did you mean 'label'"):
        read_table(tmp_path / "a", target="lable")


LINES: list[dict[str, Any]] = [
    {"age": 30, "site": "a", "who": "p1", "label": "yes"},
    {"age": 41.5, "site": "b", "who": "p2", "label": "no"},
    {"site": "a", "who": "p1", "label": None},
    {"age": 7, "site": "b", "who": "p3", "label": "yes"},
]


def lines_in(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_json_lines_are_a_table_with_gaps(tmp_path: Path) -> None:
    source = read_table(lines_in(tmp_path / "t.jsonl", LINES), drop=["who"], keep=["who"])
    assert (source.kind, source.names, source.ignored) == ("table", ("no", "yes"), ("label", "who"))
    assert isinstance(source.raw, pd.DataFrame)
    assert list(source.raw.columns) == ["age", "site"]
    np.testing.assert_array_equal(source.raw["age"], [30, 41.5, np.nan, 7])
    assert source.targets.tolist() == [1, 0, -1, 1]
    assert source.kept["who"].tolist() == ["p1", "p2", "p1", "p3"]


def test_the_door_reads_both(tmp_path: Path) -> None:
    assert read(path=lines_in(tmp_path / "t.jsonl", LINES), drop=["who"]).kind == "table"
    assert read(path=texts_in(tmp_path / "films", [1, 0, -1, 0])).kind == "text"


def test_nested_cells_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    nested = lines_in(tmp_path / "n.jsonl", [*LINES, {"age": [1, 2], "site": "a", "label": "no"}])
    with pytest.raises(RejectedError, match=r"'age' holds lists or objects in row 4"):
        read_table(nested, drop=["who"])
    plain = lines_in(tmp_path / "p.jsonl", LINES)
    with pytest.raises(UsageError, match="Did you mean 'site'"):
        read_table(plain, drop=["sit"])
    with pytest.raises(UsageError, match="Did you mean 'label'"):
        read_table(plain, target="labl")
