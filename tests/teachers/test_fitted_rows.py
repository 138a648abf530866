"""Teachers of raw rows: what they are given, what they may answer, and what is said when they fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stillhouse.errors import RejectedError, UsageError
from stillhouse.tasks.classification import teachers as classification
from stillhouse.tasks.classification.class_order import class_order, scatter
from stillhouse.tasks.classification.reading import SMALLEST
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, FittedTeacher
from tests.teachers.asking import no_decoding, probabilities, rows_of
from tests.teachers.tasks import wide


def teacher(ask: Callable[[Any], Any], classes: int = 3, *, kind: str | None = "probabilities") -> FittedTeacher:
    read = classification.read(wide(classes), kind)
    return FittedTeacher(ask, read, (classes,), identity="test", decode=no_decoding)


def even(raw: Any) -> np.ndarray:
    return np.full((len(raw), 3), 1 / 3)


@given(arrays(np.float64, (5, 4), elements=st.floats(0.001, 1)))
def test_probabilities_come_back_as_they_were_given(weights: np.ndarray) -> None:
    p = weights / weights.sum(1, keepdims=True)
    np.testing.assert_allclose(probabilities(teacher(lambda raw: p, 4), p), p, atol=1e-6)


def test_a_probability_of_zero_stays_finite() -> None:
    logits = teacher(lambda raw: np.eye(3)).outputs(rows_of(np.zeros(3))).logits
    assert logits.min().item() == pytest.approx(np.log(SMALLEST))


@pytest.mark.parametrize("kind", ["logits", "log_probabilities", "probabilities", None])
def test_each_kind_of_answer_gives_the_same_distribution(kind: str | None) -> None:
    logs = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]))
    answer = {"logits": logs + 5, "log_probabilities": logs, "probabilities": np.exp(logs), None: logs - 3}[kind]
    np.testing.assert_allclose(probabilities(teacher(lambda raw: answer, kind=kind), logs), np.exp(logs), atol=1e-6)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("kind", ["logits", "log_probabilities", "probabilities"])
def test_one_column_is_the_second_of_two_classes(shape: tuple[int, ...], kind: str) -> None:
    second = np.array([0.25, 0.5, 0.9])
    answers = {"probabilities": second, "log_probabilities": np.log(second), "logits": np.log(second / (1 - second))}
    answer = answers[kind].reshape(shape)
    found = probabilities(teacher(lambda raw: answer, 2, kind=kind), second)
    np.testing.assert_allclose(found, np.stack([1 - second, second], 1), atol=1e-6)


def test_a_call_has_at_most_so_many_rows_and_their_order_is_kept() -> None:
    sizes = []

    def ask(raw: np.ndarray) -> np.ndarray:
        sizes.append(len(raw))
        return np.stack([raw, 1 - raw], 1)

    share = np.linspace(0.1, 0.9, 2 * BATCH_ROWS + 1)
    np.testing.assert_allclose(probabilities(teacher(ask, 2), share)[:, 0], share, atol=1e-6)
    assert sizes == [BATCH_ROWS, BATCH_ROWS, 1]


def test_rows_that_a_batch_does_not_carry_are_decoded_from_its_inputs() -> None:
    read = classification.read(wide(2), "probabilities")
    asked = FittedTeacher(lambda raw: raw, read, (2,), identity="", decode=lambda inputs: inputs.numpy() / 10)
    batch = rows_of(np.zeros(2))._replace(inputs=torch.tensor([[1.0, 9.0], [4.0, 6.0]]), raw=None)
    torch.testing.assert_close(asked.outputs(batch).logits.exp(), batch.inputs / 10)


def test_texts_are_given_as_an_array_of_str() -> None:
    def ask(raw: np.ndarray) -> np.ndarray:
        assert all(isinstance(text, str) for text in raw)
        return np.array([[0.9, 0.1] if "good" in text else [0.2, 0.8] for text in raw])

    found = probabilities(teacher(ask, 2), np.array(["good tea", "stale"], object))
    assert found[:, 0] == pytest.approx([0.9, 0.2])


def test_no_rows_give_no_answers() -> None:
    assert teacher(even).outputs(rows_of(np.zeros((0, 2)))).logits.shape == (0, 3)


def test_a_failing_function_is_refused_with_the_rows_it_failed_on() -> None:
    def ask(raw: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("no tea")

    with pytest.raises(RejectedError, match=r"2 training rows \(numbers 7, 8\): ZeroDivisionError: no tea") as caught:
        teacher(ask).outputs(rows_of(np.zeros(2), 7))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_error_that_names_its_remedy_passes_as_it_is() -> None:
    def ask(raw: np.ndarray) -> np.ndarray:
        raise UsageError("install it")

    with pytest.raises(UsageError, match="install it"):
        teacher(ask).outputs(rows_of(np.zeros(2)))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.array([0, 2]), "answers with labels"),
        (np.array(["a", "b"]), "answers with labels"),
        (np.full((3, 3), 1 / 3), "for 2 rows of 3 classes"),
        (np.full((2, 4), 1 / 4), "answers with 4 classes, but the data have 3"),
        (np.array([0.5, 0.5]), "answers with 1 classes, but the data have 3"),
        (np.array([[0.2, 0.3, 0.5], [np.nan, 0, 0]]), r"not finite .* 1 training row \(number 8\)"),
        (np.array([[0.2, 0.3, 0.5], [0.5, 0.5, 0.5]]), r"1 training row \(number 8\).*adds up to 1\.5"),
        (np.array([[1.2, -0.7, 0.5], [0.5, 0.2, 0.3]]), r"1 training row \(number 7\).*lies in -0\.7\.\.1\.2"),
        (np.array([["a", "b", "c"]] * 2), "not numbers"),
    ],
)
def test_what_is_no_probability_is_refused_with_the_row(answer: np.ndarray, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        teacher(lambda raw: answer).outputs(rows_of(np.zeros(2), 7))


def test_rows_outside_training_are_named_by_their_position() -> None:
    batch = rows_of(np.zeros(2))._replace(rows=torch.tensor([-1, -1]))
    answer = np.array([[0.2, 0.3, 0.5], [0.5, 0.5, 0.5]])
    with pytest.raises(RejectedError, match=r"1 asked row \(number 1\)"):
        teacher(lambda raw: answer).outputs(batch)


def test_answers_that_may_be_sigmoids_are_not_guessed_at() -> None:
    answer = np.array([[0.9, 0.8, 0.1], [0.2, 0.3, 0.4]])
    with pytest.raises(RejectedError, match=r"do not add up to 1 \(one adds up to 1\.8\).*outputs = \"logits\""):
        teacher(lambda raw: answer, kind=None).outputs(rows_of(np.zeros(2)))


@given(st.permutations(["ant", "bee", "cat", "dog"]), st.integers(1, 4))
def test_each_column_goes_to_the_class_of_its_name(names: list[str], known: int) -> None:
    classes = ["ant", "bee", "cat", "dog"]
    with pytest.warns(UserWarning, match="does not know") if known < 4 else _nothing():
        order = class_order(names[:known], classes)
    arranged = scatter(np.arange(1.0, known + 1)[None], order, 4)[0]
    assert {classes[i]: arranged[i] for i in range(4) if arranged[i]} == {
        n: i + 1.0 for i, n in enumerate(names[:known])
    }


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.parametrize(
    ("given_classes", "classes", "order"),
    [
        ([0, 1], ["no", "yes"], [0, 1]),  # positions
        ([1, 0], ["no", "yes"], [1, 0]),
        (np.array([0.0, 1.0]), ["no", "yes"], [0, 1]),
        ([3, 7], ["7", "3"], [1, 0]),  # names that are numbers
        ([3.0, 7.0], ["7", "3"], [1, 0]),
        ([0, 1, 2], ["1", "2", "3"], [0, 1, 2]),  # "0" is no name here
        ([False, True], ["False", "True"], [0, 1]),
    ],
)
def test_numbers_are_names_where_the_data_have_them_and_positions_elsewhere(
    given_classes: Any, classes: list[str], order: list[int]
) -> None:
    assert class_order(given_classes, classes).tolist() == order


def test_a_class_the_data_do_not_have_is_refused_with_the_nearest() -> None:
    with pytest.raises(RejectedError, match=r"'benin'\. Did you mean 'benign'"):
        class_order(["benin", "malignant"], ["benign", "malignant"])
    with pytest.raises(RejectedError, match="names one class twice"):
        class_order(["a", "a"], ["a", "b"])
