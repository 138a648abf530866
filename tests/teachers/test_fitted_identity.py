"""The fingerprint of an object tells what determines its answers, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stillhouse.teachers.identity import identity_of

X, Y = load_iris(return_X_y=True)

IN_ANOTHER_PROCESS = """
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from stillhouse.teachers.identity import identity_of
model = RandomForestClassifier(3, random_state=0).fit(*load_iris(return_X_y=True))
print(identity_of(model, {"b", "a", "c"}, {"x": [1.5, None]}))
"""


def test_another_process_gives_the_same_fingerprint() -> None:
    model = RandomForestClassifier(3, random_state=0).fit(X, Y)
    done = subprocess.run([sys.executable, "-c", IN_ANOTHER_PROCESS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == identity_of(model, {"b", "a", "c"}, {"x": [1.5, None]})


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomForestClassifier(3, random_state=0),
        lambda: HistGradientBoostingClassifier(max_iter=3, random_state=0),
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    ],
)
def test_fitting_again_is_the_same_and_fitting_other_rows_is_not(make: Callable[[], Any]) -> None:
    first, again, other = make().fit(X, Y), make().fit(X, Y), make().fit(X[20:], Y[20:])
    assert identity_of(first) == identity_of(again) != identity_of(other)


def test_asking_does_not_change_the_fingerprint() -> None:
    model = RandomForestClassifier(3, random_state=0).fit(X, Y)
    before = identity_of(model)
    model.predict_proba(X)
    assert identity_of(model) == before


def times(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda raw: raw * factor


def test_a_function_counts_by_what_it_does_and_by_what_it_holds() -> None:
    assert identity_of(times(2.0)) == identity_of(times(2.0)) != identity_of(times(3.0))
    assert identity_of(lambda raw: raw + 1) != identity_of(lambda raw: raw + 2)


def test_a_function_counts_by_the_globals_it_names() -> None:
    spaces = [{"scale": np.array([value])} for value in (1.0, 1.0, 2.0)]
    for space in spaces:
        exec("def ask(raw): return raw * scale", space)
    one, same, other = (identity_of(space["ask"]) for space in spaces)
    assert one == same != other


def test_one_bit_of_a_tensor_or_an_array_counts() -> None:
    for make in (torch.zeros, np.zeros):
        other: Any = make(3)
        other[1] = 1e-30
        assert identity_of(make(3)) == identity_of(make(3)) != identity_of(other)


def test_an_object_that_holds_itself_has_a_fingerprint() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert identity_of(loop) != identity_of([1, [1]])
