"""Judging in full asks the nets of a finished run, and says so where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from stillhouse.errors import UsageError
from stillhouse.pipeline import distill, evaluate
from tests.pipeline.knowing import Knowing, make_data


def test_severity_0_is_the_accuracy_that_the_scores_hold(judged: Path) -> None:
    told = json.loads((judged / "full.json").read_text())
    models = json.loads((judged / "scores.json").read_text())["models"]
    for arm in ("teacher", "labels_only", "distilled"):
        clean = [r["accuracy"][arm]["value"] for r in told["robustness"] if r["severity"] == 0]
        assert clean == pytest.approx([models[arm]["measures"]["accuracy"]["value"]] * 4)
    assert {r["corruption"] for r in told["robustness"]} == {"noise", "blur", "shift", "contrast"}


def test_outsiders_and_attributions_of_every_kind_are_there(judged: Path) -> None:
    pytest.importorskip("captum")
    told = json.loads((judged / "full.json").read_text())
    assert [o["outsiders"] for o in told["outsiders"]] == ["inverted", "shuffled pixels"]
    for entry in told["outsiders"]:
        assert len(entry["auroc"]["distilled"]["seeds"]) == 2
        assert 0 <= entry["auroc"]["teacher"]["value"] <= 1
    ways = {(w["method"], w["baseline"]) for w in told["attribution"]["ways"]}
    assert len(ways) == 7
    assert all(set(w["pairs"]) == {"distilled", "labels_only", "ceiling"} for w in told["attribution"]["ways"])


def test_what_came_from_python_must_be_given_again_and_then_serves(tmp_path: Path) -> None:
    pytest.importorskip("captum")
    x, y = make_data()
    data = ((x[:300], y[:300]), None, (x[300:], y[300:]))
    teacher, student = Knowing([0, 1, 2]), nn.Linear(4, 3)
    run = distill(
        teacher=teacher, student=student, data=data, out=tmp_path / "run", recipe={"evaluation": {"resamples": 100}},
        steps=20, batch_size=32, seeds=[0],
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"teacher=\.\.\., student=\.\.\., data=\.\.\."):
        evaluate(run.folder, full=True)
    evaluate(run.folder, full=True, teacher=teacher, student=student, data=data)
    told = json.loads((run.folder / "full.json").read_text())
    assert {r["corruption"] for r in told["robustness"]} == {"noise", "missing"}
    assert told["outsiders"][0]["outsiders"] == "shuffled columns"
    assert all("ceiling" not in way["pairs"] for way in told["attribution"]["ways"])
    assert np.isfinite(told["attribution"]["ways"][0]["pairs"]["distilled"]["value"])
