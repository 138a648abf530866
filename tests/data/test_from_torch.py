"""The user's own data from Python: every form gives the same rows, in order, once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from stillhouse.data import Source, Split, fit_encoder, prepare
from stillhouse.errors import RejectedError
from tests.data.reading import from_torch

ROWS = 300  # more than are collated together
X = torch.randn(ROWS, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(ROWS) % 4
TEST = (X[:8], Y[:8])


class Items(Dataset[Any]):
    """Items as users write them: a tensor and a plain integer."""

    def __init__(self, x: Tensor = X, y: Any = Y.tolist()) -> None:  # noqa: B008
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        return self.x[i], self.y[i]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from zip(X, Y, strict=True)


def collate(items: list[Any]) -> Any:
    return torch.stack([x for x, _ in items]) * 2, torch.tensor([y for _, y in items])


LOADERS = {
    "dataset": Items(),
    "tensor dataset": TensorDataset(X, Y),
    "iterable": Endless(),
    "pair of tensors": (X, Y),
    "pair of arrays": (X.numpy(), Y.numpy()),
    "pair with one column of labels": (X, Y[:, None]),
    "float labels": (X, Y.double()),
    "list of items": list(zip(X, Y.tolist(), strict=True)),
    "subset": Subset(Items(), range(ROWS)),
    "shuffled loader": DataLoader(Items(), batch_size=7, shuffle=True, drop_last=True),
    "loader over an iterable": DataLoader(Endless(), batch_size=7),
    "two workers": DataLoader(Items(), batch_size=64, num_workers=2),
    "weighted": DataLoader(Items(), sampler=WeightedRandomSampler([1.0] * ROWS, 10)),
    "batches of its own": DataLoader(Items(), batch_sampler=BatchSampler(RandomSampler(Items()), 9, drop_last=False)),
    "whole batches": DataLoader(list(zip(torch.split(X, 50), torch.split(Y, 50), strict=True)), batch_size=None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("form", list(LOADERS))
def test_every_form_gives_the_same_rows_in_order(form: str) -> None:
    source, split = from_torch(LOADERS[form], None, TEST)
    np.testing.assert_array_equal(np.asarray(source.raw)[:ROWS], X)
    np.testing.assert_array_equal(source.targets[:ROWS], Y)
    assert source.names == ("0", "1", "2", "3")
    assert (source.kind, source.as_is, source.shape) == ("array", True, (3,))
    assert [len(split.train), len(split.valid), len(split.test), len(split.labelled)] == [ROWS, 0, 8, ROWS]


def test_the_parts_stand_one_after_the_other_and_come_back_unchanged() -> None:
    source, split = from_torch((X, Y), (X[:5], Y[:5]), TEST, classes=["a", "b", "c", "d"])
    prepared = prepare(source, split)
    assert prepared.train.inputs.equal(X)
    assert prepared.valid.inputs.equal(X[:5])
    assert prepared.test.targets.equal(Y[:8])
    assert source.names == ("a", "b", "c", "d")


def test_a_custom_collate_function_makes_the_inputs() -> None:
    source, _ = from_torch(DataLoader(Items(), batch_size=7, shuffle=True, collate_fn=collate), None, TEST)
    np.testing.assert_array_equal(np.asarray(source.raw)[:ROWS], X * 2)


def test_rows_that_a_loaders_sampler_never_draws_stay_out() -> None:
    loaders = [DataLoader(Items(), batch_size=4, sampler=SubsetRandomSampler(rows)) for rows in ([5, 1, 9], [0, 2])]
    source, split = from_torch(loaders[0], loaders[1], TEST)
    np.testing.assert_array_equal(source.take(split.train), X[[1, 5, 9]])
    np.testing.assert_array_equal(source.take(split.valid), X[[0, 2]])
    own = DataLoader(Items(), sampler=[3, 3, 1])
    np.testing.assert_array_equal(from_torch(own, None, TEST)[0].take([0, 1]), X[[1, 3]])


@pytest.mark.parametrize(
    "train",
    [
        X,
        X.numpy(),
        TensorDataset(X),
        (X, None),
        (X, [float("nan")] * ROWS),
        (X, [None] * ROWS),
        list(X),
    ],
)
def test_training_rows_without_labels_are_a_pool(train: Any) -> None:
    source, split = from_torch(train, None, TEST)
    assert (source.targets[split.train] == -1).all()
    assert len(split.labelled) == 0
    np.testing.assert_array_equal(source.take(split.train), X)


def test_a_class_without_a_row_exists_only_where_it_is_declared() -> None:
    source, _ = from_torch((X, Y * 2), None, (X[:2], Y[:2] * 2))
    assert source.names == tuple("0246")
    assert source.targets[:4].tolist() == [0, 1, 2, 3]
    source, _ = from_torch((X, Y * 2), None, (X[:2], Y[:2] * 2), classes=list("0123456"))
    assert source.targets[:4].tolist() == [0, 2, 4, 6]


def test_labels_may_be_names_and_some_may_be_missing() -> None:
    names = np.array(["dog", "cat", None, "cow"], object)[Y]
    source, split = from_torch((X, names), None, (X[:2], ["cat", "dog"]))
    assert source.names == ("cat", "cow", "dog")
    assert source.targets[:4].tolist() == [2, 0, -1, 1]
    assert source.targets[split.test].tolist() == [0, 2]
    dataset = Items(y=["dog", "cat"] * (ROWS // 2))
    assert from_torch(dataset, None, (X[:1], ["cat"]))[0].targets[:2].tolist() == [1, 0]
    assert from_torch(X, None, (X[:2], ["cat", "dog"]))[0].names == ("cat", "dog")


def test_images_bytes_and_half_precision_are_taken_as_they_are() -> None:
    images = torch.randint(0, 255, (6, 3, 4, 5), dtype=torch.uint8)
    source, split = from_torch((images, Y[:6]), None, (images, Y[:6]))
    assert source.kind == "image"
    assert fit_encoder(source, split.train).encode(source.raw).dtype == torch.uint8
    half = X.bfloat16()
    assert prepare(*from_torch((half, Y), None, (half, Y))).train.inputs.equal(half.float())


def test_frames_are_tables_with_a_fitted_encoder() -> None:
    frame = pd.DataFrame({"n": [1, 2, None, 4], "w": ["a", None, "b", "a"]}, index=[9, 8, 7, 6])
    label = pd.Series(["x", "y", None, "y"])
    source, split = from_torch((frame, label), None, (frame[["w", "n"]].iloc[:2], ["x", "y"]))
    assert (source.kind, source.as_is, source.targets.tolist()) == ("table", False, [0, 1, -1, 1, 0, 1])
    prepared = prepare(source, split)
    assert prepared.encoder.shape == (6,)
    assert prepared.test.inputs.equal(prepared.train.inputs[:2])


class Noisy(Items):
    def __getitem__(self, i: int) -> Any:
        return self.x[i] + torch.randn(3), self.y[i]


class Triples(Items):
    def __getitem__(self, i: int) -> Any:
        return self.x[i], self.y[i], i


class Ragged(Items):
    def __getitem__(self, i: int) -> Any:
        return self.x[i][: 1 + (i == 250)], self.y[i]


class Broken(Items):
    def __getitem__(self, i: int) -> Any:
        if i == 100:
            raise ValueError("cannot decode image 100")
        return super().__getitem__(i)


def with_nan(*rows: int) -> Tensor:
    spoilt = X.clone()
    spoilt[list(rows)] = float("nan")
    return spoilt


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((Noisy(), None, TEST), "random transform"),
        ((Triples(), None, TEST), "items of 3 parts"),
        ((Ragged(), None, TEST), r"train data .*same shape"),
        ((Broken(), None, TEST), "cannot decode image 100"),
        (([{"x": 1}], None, TEST), "one number for each row"),
        (((X, Y, Y), None, TEST), "tuple of 3"),
        (((X, Y[:5]), None, TEST), "300 inputs and 5 labels"),
        (((X, torch.eye(4)[Y]), None, TEST), r"argmax\(1\)"),
        (((X, Y + 0.5), None, TEST), r"rows 0, 1, 2, 3, 4 and 295 more .*not a whole number"),
        (((X, Y), X[:8], TEST), "valid data: rows 0, 1, 2, 3, 4 and 3 more .*no label"),
        (((X, Y), None, X[:8]), "test data: rows 0"),
        (((X[:0], Y[:0]), None, TEST), "train data have no rows"),
        (((X[:, 0], Y), None, TEST), "one number for each row"),
        (((X, Y), None, (X[:8, :2], Y[:8])), r"train \(3,\), test \(2,\)"),
        (((X, Y * 0), None, (X[:2], Y[:2] * 0)), "only one class"),
        (((with_nan(3, 7), Y), None, TEST), r"train data: rows 3, 7 \(counted from 0\) hold NaN"),
        (((X, Y), None, (with_nan(1)[:8], Y[:8])), "test data: row 1 "),
        (((pd.DataFrame({"a": [1, 2]}), [0, 1]), None, (pd.DataFrame({"b": [1]}), [0])), "test frame differs"),
        (((pd.DataFrame({"a": [1, 2]}), [0, 1]), None, TEST), "differ in kind"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(parts: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        from_torch(*parts)


def test_labels_outside_the_declared_classes_are_named_by_row() -> None:
    with pytest.raises(RejectedError, match=r"rows 3, 7, 11, 15, 19 and \d+ more .* the declared classes, such as '3'"):
        from_torch((X, Y), None, TEST, classes=["a", "b", "c"])


def test_the_answer_is_a_source_and_a_split() -> None:
    source, split = from_torch((X, Y), None, TEST)
    assert isinstance(source, Source)
    assert isinstance(split, Split)
    again, _ = from_torch(DataLoader(Items(), shuffle=True), None, TEST)
    assert again.fingerprint() == source.fingerprint()
