"""[evaluation] measure and [controls] of classifiers: they change the verdict and the arms, or are refused at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import nn

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.evaluation import Predictions
from stillhouse.recipe import parse
from stillhouse.task import VERDICTS
from tests.pipeline.knowing import Knowing, make_data

X, Y = make_data()
NAMES = ["ale", "cider", "mead"]


def distilled(out: Path, **over: Any) -> sh.Run:
    torch.set_num_threads(1)
    recipe = {"evaluation": {"resamples": 100}, "training": {"workers": 1}, "data": {"classes": NAMES, "labels": 60}}
    for key, value in over.pop("recipe", {}).items():
        recipe[key] = recipe.get(key, {}) | value
    return sh.distill(
        recipe, teacher=Knowing([0, 1, 2]), student=lambda: nn.Linear(4, 3), out=out, steps=20, batch_size=32,
        seeds=[0], data=((X[:300], Y[:300]), None, (X[300:], Y[300:])), accept_teacher=True, verbose=False, **over,
    )  # fmt: skip


def test_balanced_accuracy_is_the_headline_where_the_recipe_says_so(tmp_path: Path) -> None:
    run = distilled(tmp_path / "run", recipe={"evaluation": {"measure": "balanced_accuracy"}})
    told, headline = Predictions.load(run.folder / "predictions.npz"), run.scores["comparisons"][0]
    ours, theirs = (
        balanced_accuracy_score(told.targets, told.outputs(arm)["0"].argmax(1)) for arm in ("distilled", "labels_only")
    )
    assert headline["measure"] == "balanced_accuracy"
    assert headline["difference"]["value"] == pytest.approx(ours - theirs, abs=1e-9)
    assert "balanced accuracy" in run.scores["sentence"]
    assert run.verdict in VERDICTS


def test_the_sensitivity_to_a_class_at_a_specificity_is_the_share_of_it_above_that_threshold(tmp_path: Path) -> None:
    name = "sensitivity:cider@0.9"
    run = distilled(tmp_path / "run", recipe={"evaluation": {"measure": name}})
    told, headline = Predictions.load(run.folder / "predictions.npz"), run.scores["comparisons"][0]
    assert headline["measure"] == name
    of_class, found = told.targets == 1, {}
    for arm in ("distilled", "labels_only"):
        chances = np.exp(told.outputs(arm)["0"].astype(np.float64))
        scores = (chances / chances.sum(1, keepdims=True))[:, 1]
        threshold = np.quantile(scores[~of_class], 0.9)
        found[arm] = (scores[of_class] > threshold).mean()
    step = 1.5 / of_class.sum()  # the threshold lies between two rows, where conventions differ by one
    assert headline["difference"]["value"] == pytest.approx(found["distilled"] - found["labels_only"], abs=2 * step)
    assert run.scores["models"]["distilled"]["measures"][name]["value"] == pytest.approx(found["distilled"], abs=step)


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"recipe": {"evaluation": {"measure": "balanced_acuracy"}}}, "Did you mean 'balanced_accuracy'"),
        ({"recipe": {"evaluation": {"measure": "sensitivity:beer@0.9"}}}, "no class 'beer'"),
        ({"recipe": {"evaluation": {"measure": "sensitivity:ale"}}}, "a class and a specificity between 0 and 1"),
        ({"recipe": {"evaluation": {"measure": "rmse"}}}, "classification has no such measure"),
        ({"method": "mse"}, r"'mse' matches values.*'classification'.*name = \"hinton\""),
        ({"method": "binary_kd"}, "'binary_kd' matches log_odds"),
        ({"recipe": {"controls": {"all_labelss": False}}}, "Did you mean 'all_labels'"),
        ({"recipe": {"controls": {"distilled": False}}}, "the verdict is about this student"),
    ],
    ids=["misspelt", "no class", "half a measure", "rmse", "values", "log-odds", "no control", "needed control"],
)
def test_what_does_not_fit_is_refused_before_a_folder_is_begun(tmp_path: Path, over: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        distilled(tmp_path / "run", **over)
    assert not (tmp_path / "run" / "run.json").exists(), "the corrected call may use the same folder"


@pytest.mark.slow
def test_a_control_that_is_switched_off_is_not_trained(tmp_path: Path) -> None:
    both = distilled(tmp_path / "both")
    one = distilled(tmp_path / "one", recipe={"controls": {"all_labels": False}})
    assert set(both.scores["models"]) - set(one.scores["models"]) == {"all_labels"}
    assert not (one.folder / "fits" / "all_labels").exists()
    off = {"label_smoothing": 0.1, "smoothed": False}
    assert "smoothed" not in distilled(tmp_path / "off", recipe={"controls": off}).scores["models"]


def test_a_control_is_switched_by_true_or_false_alone() -> None:
    with pytest.raises(UsageError, match="smoothed = false"):
        parse({"controls": {"smoothed": 3}})
