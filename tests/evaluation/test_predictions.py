"""Predictions go through a file unchanged, and what is not log-probabilities of these rows is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.evaluation import Predictions
from stillhouse.evaluation.predictions import floored

NET = log_softmax(np.random.default_rng(0).normal(size=(4, 3)), axis=1).astype(np.float32)
TARGETS, ROWS = np.array([0, 1, 2, 2]), np.array([7, 3, 9, 11])


def predictions(net: np.ndarray = NET, targets: np.ndarray = TARGETS) -> Predictions:
    return Predictions(targets, ROWS, ("a", "b", "ü <c>"), {"teacher": {"-": NET}, "distilled": {"0": net, "10": NET}})


def test_a_file_holds_what_was_saved_and_no_objects(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    predictions().save(path)
    back = Predictions.load(path)
    assert back.classes == ("a", "b", "ü <c>")
    assert (back.targets.tolist(), back.rows.tolist()) == (TARGETS.tolist(), ROWS.tolist())
    assert {arm: list(seeds) for arm, seeds in back.log_probs.items()} == {"teacher": ["-"], "distilled": ["0", "10"]}
    assert np.array_equal(back.log_probs["distilled"]["0"], NET)
    assert back.log_probs["distilled"]["0"].dtype == np.float32
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {"rows", "targets", "classes", "teacher/-", "distilled/0", "distilled/10"}


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


def test_a_pickle_in_the_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, targets=TARGETS, rows=ROWS, classes=np.array(["a", None], dtype=object))
    with pytest.raises(DamagedError, match="cannot be read"):
        Predictions.load(path)


def test_nan_is_refused_with_the_rows() -> None:
    bad = NET.copy()
    bad[2] = np.nan
    with pytest.raises(RejectedError, match=r"distilled/0.*\[9\]"):
        predictions(bad)


def test_logits_are_refused() -> None:
    with pytest.raises(RejectedError, match="log_softmax"):
        predictions(NET + 1)


def test_other_shapes_and_targets_are_refused() -> None:
    with pytest.raises(RejectedError, match="shape"):
        predictions(NET[:, :2])
    with pytest.raises(RejectedError, match="without a label"):
        predictions(targets=np.array([0, 1, 2, -1]))
    with pytest.raises(RejectedError, match="row numbers"):
        Predictions(TARGETS[:2], ROWS, ("a", "b", "c"), {})


def test_a_probability_of_zero_is_floored_and_nothing_else_is() -> None:
    net = np.array([[0.0, -np.inf, -40.0]], dtype=np.float32)
    assert floored(net)[0].tolist() == pytest.approx([0.0, np.log(np.finfo(np.float32).tiny), -40.0])
