"""The user's own texts from Python: every form gives the same rows, in order."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch.utils.data import DataLoader, Dataset

from stillhouse.data.encoders.fitting import fit_encoder
from stillhouse.data.source import Source
from stillhouse.errors import RejectedError
from tests.data.reading import from_torch

TEXTS = [f"this is text number {i}" for i in range(300)]  # more than are collated together
LABELS = [i % 3 for i in range(300)]
NAMES = [["bad", "good", "so-so"][label] for label in LABELS]


class Items(Dataset[Any]):
    def __init__(self, *columns: list[Any]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, i: int) -> Any:
        row = tuple(column[i] for column in self.columns)
        return row if len(row) > 1 else row[0]


class ClassLabel:
    """The part of ``datasets.ClassLabel`` that is looked at."""

    names = ("bad", "good", "so-so")


class Saved:
    """What a ``datasets.Dataset`` can do, on a pandas frame: the library itself needs more than is installed here."""

    def __init__(self, frame: pd.DataFrame, label: str | None = None) -> None:
        self.frame = frame
        self.column_names = list(frame.columns)
        self.features = {name: ClassLabel() if name == label else "string" for name in frame.columns}

    def to_pandas(self) -> pd.DataFrame:
        return self.frame


FORMS: dict[str, Any] = {
    "list and labels": (TEXTS, LABELS),
    "array and labels": (np.array(TEXTS), np.array(LABELS)),
    "object array": (np.array(TEXTS, object), LABELS),
    "series": (pd.Series(TEXTS), pd.Series(LABELS)),
    "frame of one column": (pd.DataFrame({"review": TEXTS}), LABELS),
    "list of items": list(zip(TEXTS, LABELS, strict=True)),
    "dataset": Items(TEXTS, LABELS),
    "loader": DataLoader(Items(TEXTS, LABELS), batch_size=7, shuffle=True),
    "hugging face": Saved(pd.DataFrame({"n": range(300), "text": TEXTS, "label": LABELS})),
    "hugging face, other names": Saved(pd.DataFrame({"n": range(300), "sentence": TEXTS, "labels": LABELS})),
}


def check(source: Source) -> None:
    assert list(source.raw)[:300] == TEXTS
    assert (source.kind, source.shape, source.as_is) == ("text", (), False)


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_gives_the_same_texts(form: str) -> None:
    source, split = from_torch(FORMS[form], None, (TEXTS[:8], LABELS[:8]))
    check(source)
    assert source.targets.tolist() == LABELS + LABELS[:8]
    assert source.names == ("0", "1", "2")
    assert [len(split.train), len(split.valid), len(split.test)] == [300, 0, 8]
    assert fit_encoder(source, split.train).encode(source.take(split.test)).shape == (8, 128)


def test_labels_may_be_words_in_a_dataset_too() -> None:
    for data in ((TEXTS, NAMES), Items(TEXTS, NAMES), Saved(pd.DataFrame({"text": TEXTS, "label": NAMES}))):
        source, _ = from_torch(data, None, (TEXTS[:3], NAMES[:3]))
        check(source)
        assert (source.names, source.targets.tolist()) == (("bad", "good", "so-so"), LABELS + LABELS[:3])


def test_a_class_label_names_the_classes_and_minus_one_is_no_label() -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": [-1, *LABELS[1:]]})
    test = Saved(pd.DataFrame({"text": TEXTS[:3], "label": LABELS[:3]}), "label")
    source, split = from_torch(Saved(frame, "label"), None, test)
    assert source.names == ("bad", "good", "so-so")
    assert source.label_values == (0, 1, 2)
    assert source.targets[:3].tolist() == [-1, 1, 2]
    assert len(split.labelled) == 299


def test_parts_whose_class_labels_differ_are_refused() -> None:
    other = Saved(pd.DataFrame({"text": TEXTS[:3], "label": LABELS[:3]}), "label")
    kind = ClassLabel()
    kind.names = ("good", "bad", "so-so")
    other.features["label"] = kind
    with pytest.raises(RejectedError, match="Use the same order in all parts"):
        from_torch(Saved(pd.DataFrame({"text": TEXTS, "label": LABELS}), "label"), None, other)


def test_a_hugging_face_table_stays_a_table() -> None:
    frame = pd.DataFrame({"ward": ["a", "b", "c"] * 100, "age": np.arange(300.0), "label": LABELS})
    source, _ = from_torch(Saved(frame), None, Saved(frame.head(9)))
    assert (source.kind, source.shape) == ("table", (2,))


def test_texts_without_labels_are_a_pool() -> None:
    for pool in (TEXTS, Items(TEXTS), np.array(TEXTS)):
        source, split = from_torch(pool, None, (TEXTS[:8], LABELS[:8]))
        check(source)
        assert source.targets.tolist() == [-1] * 300 + LABELS[:8]
        assert len(split.labelled) == 0


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((["a", " ", "c"], [0, 1, 0]), "The train data: row 1 .*empty text"),
        (Items([*TEXTS[:299], ""], LABELS), "The train data: row 299 .*empty text"),
        ((["a", None, "c"], [0, 1, 0]), "row 1 .*no text"),
        ((["a", "b" * 100_001], [0, 1]), "row 1 .*100,000"),
        (("a", "b"), "Give a list of texts"),
        ((["a", "b"], [0]), "2 inputs and 1 labels"),
        ((np.eye(3), [0, 1, 0]), "differ in kind or shape"),
        (Saved(pd.DataFrame({"label": LABELS})), "no column except the label"),
    ],
)
def test_texts_that_cannot_be_used_are_named(train: Any, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        from_torch(train, None, (["x", "y"], [0, 1]))


def test_texts_that_change_from_reading_to_reading_are_refused() -> None:
    class Random(Items):
        count = 0

        def __getitem__(self, i: int) -> Any:
            self.count += 1
            return f"text {self.count}", 0

    with pytest.raises(RejectedError, match="different row 0 each time"):
        from_torch(Random(TEXTS), None, (["x", "y"], [0, 1]))
