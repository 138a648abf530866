"""Predictions go through a file unchanged, and what a task cannot judge is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import log_softmax

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.evaluation import Predictions
from stillhouse.tasks import get
from stillhouse.tasks.classification.judgement import floored

NET = log_softmax(np.random.default_rng(0).normal(size=(4, 3)), axis=1).astype(np.float32)
TARGETS, ROWS = np.array([0, 1, 2, 2]), np.array([7, 3, 9, 11])
NAMES = ("a", "b", "ü <c>")


def predictions(net: np.ndarray = NET, targets: np.ndarray = TARGETS) -> Predictions:
    nets = {"teacher": {"-": NET}, "distilled": {"0": net, "10": NET}}
    return Predictions.of_outputs(targets, ROWS, NAMES, nets)


def checked(made: Predictions) -> None:
    made.check(get("classification"))


def test_a_file_holds_what_was_saved_and_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    predictions().save(path)
    back = Predictions.load(path)
    assert back.names == NAMES
    assert (back.targets.tolist(), back.rows.tolist()) == (TARGETS.tolist(), ROWS.tolist())
    assert {arm: list(seeds) for arm, seeds in back.records.items()} == {"teacher": ["-"], "distilled": ["0", "10"]}
    assert np.array_equal(back.outputs("distilled")["0"], NET)
    assert back.outputs("distilled")["0"].dtype == np.float32
    assert back.outputs("nobody") == {}
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"rows", "targets", "classes", "teacher/-", "distilled/0", "distilled/10"}


def test_further_arrays_of_a_record_stand_beside_its_outputs(tmp_path: Path) -> None:
    record: dict[str, NDArray[Any]] = {
        "outputs": np.ones((4, 1), np.float32),
        "bytes": np.arange(4),
        "spread": np.zeros((4, 1), np.float32),
    }
    path = tmp_path / "predictions.npz"
    Predictions(np.zeros((4, 1), np.float32), ROWS, ("price",), {"distilled": {"-3": record}}).save(path)
    back = Predictions.load(path).records["distilled"]["-3"]
    assert {name: x.tolist() for name, x in back.items()} == {name: x.tolist() for name, x in record.items()}
    with np.load(path, allow_pickle=False) as file:
        assert {"distilled/-3", "distilled/-3/bytes", "distilled/-3/spread"} < set(file.files)


@pytest.mark.parametrize("content", [b"", b"not a zip", "half"])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "predictions.npz"
    predictions().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    with pytest.raises(DamagedError, match=r"predictions\.npz"):
        Predictions.load(path)
    with pytest.raises(DamagedError, match="cannot be read"):
        Predictions.load(tmp_path / "absent.npz")


@pytest.mark.fault("C24", "a pickle in an array of a run", exit=5)
def test_a_pickle_in_the_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, targets=TARGETS, rows=ROWS, classes=np.array(["a", None], dtype=object))
    with pytest.raises(DamagedError, match="cannot be read"):
        Predictions.load(path)


def test_nan_is_refused_with_the_rows() -> None:
    bad = NET.copy()
    bad[2] = np.nan
    with pytest.raises(RejectedError, match=r"distilled/0.*\[9\]"):
        checked(predictions(bad))


def test_logits_are_refused_where_log_probabilities_are_needed() -> None:
    with pytest.raises(RejectedError, match="log_softmax"):
        checked(predictions(NET + 1))


def test_other_shapes_and_targets_are_refused() -> None:
    with pytest.raises(RejectedError, match="shape"):
        checked(predictions(NET[:, :2]))
    with pytest.raises(RejectedError, match="without a label"):
        checked(predictions(targets=np.array([0, 1, 2, -1])))
    with pytest.raises(RejectedError, match="row numbers"):
        Predictions(TARGETS[:2], ROWS, NAMES, {})
    with pytest.raises(RejectedError, match="distilled/0 has 3 rows"):
        predictions(NET[:3])


def test_a_probability_of_zero_is_floored_and_nothing_else_is() -> None:
    net = np.array([[0.0, -np.inf, -40.0]], dtype=np.float32)
    assert floored(net)[0].tolist() == pytest.approx([0.0, np.log(np.finfo(np.float32).tiny), -40.0])


@given(st.sampled_from([[1.0, np.nan], [np.inf, 0.0]]))
def test_a_real_prediction_that_is_no_number_is_refused(values: list[float]) -> None:
    outputs = np.array(values, np.float32)[:, None]
    made = Predictions.of_outputs(np.zeros((2, 1), np.float32), ROWS[:2], ("price",), {"distilled": {"0": outputs}})
    with pytest.raises(RejectedError, match="NaN or infinite"):
        made.check(get("regression"))


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        ("regression", [[1.0], [np.nan]], "1 test rows have no target"),
        ("regression", [1.0, 2.0], "shape"),
        ("multilabel", [[0.0], [0.5]], "0, 1, or missing"),
        ("multilabel", [[0.0], [np.nan]], "no known label"),
        ("embedding", [0, 1], "too few"),
    ],
)
def test_targets_that_a_task_cannot_judge_are_refused(task: str, targets: list[object], message: str) -> None:
    made = Predictions.of_outputs(np.array(targets), ROWS[:2], ("one",), {})
    with pytest.raises(RejectedError, match=message):
        made.check(get(task))
