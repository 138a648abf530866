"""Answers in other units than probabilities and logits are read in them, or refused with the line that fixes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator

from stillhouse.errors import RejectedError, UsageError
from stillhouse.tasks.classification import teachers as classification
from stillhouse.teachers.fitted.objects import from_object
from tests.teachers.asking import no_decoding, rows_of
from tests.teachers.tasks import CLASSIFICATION, MULTILABEL, named

ROWS = np.arange(40)
SHARES = np.random.default_rng(0).dirichlet(np.ones(3), 40)
PETS, ANSWER = ("cat", "dog", "emu"), ("no", "yes")
YES = SHARES[:, 0]


def shares_of(answer: Any, names: tuple[str, ...] = PETS, task: Any = CLASSIFICATION, kind: str | None = None) -> Any:
    teacher = from_object(lambda rows: answer, task, named(names), decode=no_decoding, kind=kind)
    return teacher.outputs(rows_of(ROWS)).logits.double().softmax(-1).numpy()


@given(classes=st.integers(2, 30), digits=st.integers(0, 3), seed=st.integers(0, 99), stated=st.booleans())
def test_percentages_are_probabilities_however_they_are_rounded(
    classes: int, digits: int, seed: int, stated: bool
) -> None:
    percent = np.round(100 * np.random.default_rng(seed).dirichlet(np.ones(classes), 40), digits)
    names = tuple(f"c{i}" for i in range(classes))
    found = shares_of(percent, names, kind="probabilities" if stated else None)
    truth = np.maximum(percent / 100, 1e-6)
    np.testing.assert_allclose(found, truth / truth.sum(1, keepdims=True), atol=1e-5)


def test_the_unit_is_part_of_what_was_decided() -> None:
    read: Any = classification.read(named(PETS))
    read(100 * SHARES, ROWS)
    assert (read.form["kind"], read.form["unit"]) == ("probabilities", "percent")
    with pytest.raises(RejectedError, match="not probabilities"):
        read(SHARES, ROWS)  # the same teacher cannot change its unit


def test_one_decimal_is_enough_for_two_classes() -> None:
    assert shares_of(np.array([[1.0, 0.1], [0.9, 0.0]] * 20), ANSWER)[0, 0] == pytest.approx(1 / 1.1)


UNCLEAR: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "percentages of one class": (100 * YES, ANSWER, r"Divide them by 100.*outputs = \"logits\""),
    "votes of 25 trees": (np.round(25 * np.c_[YES, 1 - YES]), ANSWER, "adds up to 25.*Divide them by 25"),
    "logarithms to the base 10": (np.log10(SHARES), PETS, "base 10. Multiply them by 2.302585"),
    "logarithms to the base 2": (np.log2(SHARES), PETS, "base 2. Multiply them by 0.693147"),
    "labels of -1 and 1": (np.where(YES > 0.5, 1.0, -1.0), ANSWER, "answers with labels"),
    "labels in a column": ((YES > 0.5).astype(int)[:, None], ANSWER, "answers with labels"),
    "the best class alone": ([{"label": "cat", "score": 0.9}] * 40, PETS, "best class alone.*top_k=None"),
    "two of three logits": ([{"cat": 3.0, "dog": 1.0}, {"cat": 1.0, "emu": 2.0}] * 20, PETS, "every name for each row"),
    "a column called 0": (pd.Series(YES, name=0), ANSWER, "called 0.*'no', 'yes'"),
    "a frame without names": (pd.DataFrame(YES), ANSWER, "called 0.*'no', 'yes'"),
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_what_could_only_be_guessed_is_refused(what: str) -> None:
    answer, names, words = UNCLEAR[what]
    with pytest.raises(RejectedError, match=words):
        shares_of(answer, names)


CURES: dict[str, tuple[Callable[[], Any], tuple[str, ...], np.ndarray]] = {
    "percentages divided": (lambda: 100 * YES / 100, ANSWER, np.c_[1 - YES, YES]),
    "votes divided": (lambda: 25 * SHARES / 25, PETS, SHARES),
    "logarithms multiplied": (lambda: np.log10(SHARES) * 2.302585, PETS, SHARES),
    "a column named": (lambda: pd.DataFrame({"no": YES}), ANSWER, np.c_[YES, 1 - YES]),
}


@pytest.mark.parametrize("what", CURES)
def test_the_cures_give_the_right_probabilities(what: str) -> None:
    answer, names, truth = CURES[what]
    np.testing.assert_allclose(shares_of(answer(), names), truth, atol=1e-5)


def test_one_hot_logits_and_stated_logits_are_logits() -> None:
    scores = 5.0 * np.eye(3)[np.arange(40) % 3]
    truth = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(shares_of(scores), truth, atol=1e-6)
    np.testing.assert_allclose(shares_of(YES * 9, ANSWER, kind="logits")[:, 1], 1 / (1 + np.exp(-9 * YES)), atol=1e-6)


@pytest.mark.parametrize(("name", "place"), [("no", 0), ("yes", 1), ("score", 1), (None, 1)])
def test_a_series_is_the_class_of_its_name_or_the_second(name: str | None, place: int) -> None:
    np.testing.assert_allclose(shares_of(pd.Series(YES, name=name), ANSWER)[:, place], YES, atol=2e-6)


def test_a_row_may_leave_out_classes_of_no_probability() -> None:
    found = shares_of([{"cat": 1.0}, {"dog": 0.5, "emu": 0.5}] * 20)
    np.testing.assert_allclose(found[:2], np.array([[1, 0, 0], [0, 0.5, 0.5]]), atol=1e-5)


def test_percentages_of_several_labels_are_refused() -> None:
    with pytest.raises(RejectedError, match="Divide them by 100"):
        shares_of(100 * SHARES, task=MULTILABEL)


class Votes:
    """A fitted model of the user's own, without scikit-learn's base class."""

    def __init__(self, answer: np.ndarray) -> None:
        self.answer = answer

    def fit(self, rows: Any, y: Any) -> Votes:
        return self

    def predict(self, rows: Any) -> Any:
        return self.answer.argmax(1)

    def predict_proba(self, rows: Any) -> Any:
        return self.answer


def test_the_outputs_of_a_fitted_model_can_be_stated() -> None:
    spec, logits = named(PETS), np.log(SHARES) + 3
    for answer, kind in ((SHARES, None), (100 * SHARES, None), (logits, "logits")):
        teacher = from_object(Votes(answer), CLASSIFICATION, spec, decode=no_decoding, kind=kind)
        found = teacher.outputs(rows_of(ROWS)).logits.double().softmax(-1).numpy()
        np.testing.assert_allclose(found, SHARES, atol=2e-6)
    with pytest.raises(RejectedError, match=r"outputs = \"logits\""):
        from_object(Votes(logits - 9), CLASSIFICATION, spec, decode=no_decoding).outputs(rows_of(ROWS))


def test_the_outputs_of_a_booster_are_not_stated() -> None:
    from xgboost import XGBClassifier

    model = XGBClassifier(n_estimators=2, max_depth=2, n_jobs=1).fit(SHARES, SHARES.argmax(1))
    with pytest.raises(UsageError, match=r"outputs = 'logits'.*objective.*Remove the line"):
        from_object(model.get_booster(), CLASSIFICATION, named(PETS), decode=no_decoding, kind="logits")


FRAME = pd.DataFrame({"x": np.arange(40)}, index=pd.Index(np.random.default_rng(1).permutation(40) + 100))


def asked_of(answer: Callable[[Any], Any], frame: pd.DataFrame = FRAME) -> Any:
    teacher = from_object(answer, CLASSIFICATION, named(PETS), decode=no_decoding)
    return teacher.outputs(rows_of(ROWS)._replace(raw=frame)).logits.double().softmax(-1).numpy()


def named_shares(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(SHARES[rows["x"]], columns=pd.Index(PETS), index=rows.index)


INDEXED: dict[str, Callable[[pd.DataFrame], Any]] = {
    "as asked": named_shares,
    "sorted by its index": lambda rows: named_shares(rows).sort_index(),
    "sorted by a column": lambda rows: named_shares(rows).sort_values("cat"),
    "columns of a mapping, each in its own order": lambda rows: {
        name: column.sort_values() for name, column in named_shares(rows).items()
    },
    "with a default index": lambda rows: named_shares(rows).reset_index(drop=True),
    "with an index of its own": lambda rows: named_shares(rows).set_axis(range(1000, 1040)),
}


@pytest.mark.parametrize("what", INDEXED)
def test_an_answer_belongs_to_the_rows_that_its_index_names(what: str) -> None:
    np.testing.assert_allclose(asked_of(INDEXED[what]), SHARES, atol=2e-6)


def test_an_index_with_repetitions_in_another_order_is_refused_and_the_cure_works() -> None:
    double = FRAME.set_axis([*range(20), *range(20)])
    with pytest.raises(RejectedError, match=r"stand for several rows.*reset_index"):
        asked_of(INDEXED["sorted by its index"], double)
    np.testing.assert_allclose(asked_of(INDEXED["as asked"], double), SHARES, atol=2e-6)
    found = asked_of(INDEXED["sorted by a column"], double.reset_index(drop=True))
    np.testing.assert_allclose(found, SHARES, atol=2e-6)


def test_masked_numbers_are_not_known_and_tables_of_arrow_have_names() -> None:
    import pyarrow

    np.testing.assert_allclose(shares_of(np.ma.array(SHARES)), SHARES, atol=2e-6)
    with pytest.raises(RejectedError, match="not finite"):
        shares_of(np.ma.array(SHARES, mask=SHARES > 0.6))
    table = pyarrow.table({name: SHARES[:, PETS.index(name)] for name in PETS[::-1]})
    np.testing.assert_allclose(shares_of(table), SHARES, atol=2e-6)


def test_a_function_that_writes_into_its_rows_changes_its_own_copy() -> None:
    def ask(rows: Any) -> Any:
        answer = SHARES[np.asarray(rows["x"] if isinstance(rows, pd.DataFrame) else rows[:, 0], int)]
        if isinstance(rows, pd.DataFrame):
            rows.loc[:, "x"] = 0
        else:
            rows *= 0
        return answer

    frame, array = FRAME.copy(), np.arange(40.0)[:, None]
    teacher = from_object(ask, CLASSIFICATION, named(PETS), decode=no_decoding)
    for raw in (frame, array):
        for _ in range(2):
            found = teacher.outputs(rows_of(ROWS)._replace(raw=raw)).logits.double().softmax(-1).numpy()
            np.testing.assert_allclose(found, SHARES, atol=2e-6)
    assert frame.equals(FRAME)


class NeedsNoFit(Votes, BaseEstimator):  # type: ignore[misc]
    def __sklearn_tags__(self) -> Any:
        return super().__sklearn_tags__()


def test_a_model_that_needs_no_fit_is_given_as_its_method() -> None:
    model = NeedsNoFit(SHARES)
    with pytest.raises(RejectedError, match=r"teacher=model\.predict_proba"):
        shares_of_model(model)
    np.testing.assert_allclose(shares_of_model(model.predict_proba), SHARES, atol=2e-6)


def shares_of_model(model: Any) -> Any:
    teacher = from_object(model, CLASSIFICATION, named(PETS), decode=no_decoding)
    return teacher.outputs(rows_of(ROWS)).logits.double().softmax(-1).numpy()
