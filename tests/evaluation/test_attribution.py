"""Attributions of nets whose attributions are known, and how far two of them agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr, ttest_1samp
from torch import Tensor, nn

from stillhouse.evaluation import attribution
from stillhouse.evaluation.attribution import INTEGRATED, OCCLUSION, PRODUCT, Example, Setting

pytest.importorskip("captum")


class LogLinear(nn.Module):
    """Two classes; the log-probability of class 0 is -softplus(-x w): its gradient is known."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.weights
        return torch.stack([score, torch.zeros_like(score)], 1)


def example(seed: int = 0) -> Example:
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))
    baselines = {"zero": torch.zeros(1, 5), "two": torch.stack([torch.zeros(5), torch.ones(5)])}
    return Example(inputs, torch.zeros(8, dtype=torch.int64), baselines, [np.array([i]) for i in range(5)])


WEIGHTS = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])


def log_probability(x: Tensor) -> Tensor:
    return nn.functional.logsigmoid(x @ WEIGHTS)


def test_integrated_gradients_add_up_to_what_the_baseline_lacks() -> None:
    told = attribution.attribute(LogLinear(WEIGHTS), example(), Setting(INTEGRATED, "zero"))
    gained = log_probability(example().inputs) - log_probability(torch.zeros(1, 5))
    np.testing.assert_allclose(told.sum(1), gained.numpy(), atol=1e-3)


def test_several_baselines_are_averaged() -> None:
    told = attribution.attribute(LogLinear(WEIGHTS), example(), Setting(INTEGRATED, "two"))
    lacking = torch.stack([log_probability(b) for b in (torch.zeros(1, 5), torch.ones(1, 5))]).mean()
    np.testing.assert_allclose(told.sum(1), (log_probability(example().inputs) - lacking).numpy(), atol=1e-3)


def test_occlusion_is_the_loss_when_one_feature_is_covered() -> None:
    rows = example()
    told = attribution.attribute(LogLinear(WEIGHTS), rows, Setting(OCCLUSION, "zero"))
    for feature in range(5):
        covered = rows.inputs.clone()
        covered[:, feature] = 0
        expected = log_probability(rows.inputs) - log_probability(covered)
        np.testing.assert_allclose(told[:, feature], expected.numpy(), atol=1e-5)


def test_input_times_gradient_is_that() -> None:
    rows = example()
    told = attribution.attribute(LogLinear(WEIGHTS), rows, Setting(PRODUCT, ""))
    slope = torch.sigmoid(-(rows.inputs @ WEIGHTS))[:, None] * WEIGHTS
    np.testing.assert_allclose(told, (rows.inputs * slope).numpy(), atol=1e-6)


def test_the_constant_of_the_logits_which_no_probability_knows_changes_nothing() -> None:
    class Shifted(LogLinear):
        def forward(self, x: Tensor) -> Tensor:
            moved: Tensor = super().forward(x) + 5 * x[:, :1]
            return moved

    for setting in attribution.settings(example().baselines):
        plain, shifted = (attribution.attribute(net(WEIGHTS), example(), setting) for net in (LogLinear, Shifted))
        np.testing.assert_allclose(plain, shifted, atol=1e-4)


def test_features_that_belong_together_are_added() -> None:
    rows = example()
    grouped = rows._replace(groups=[np.array([0, 1]), np.array([2, 3, 4])])
    each, together = (attribution.attribute(LogLinear(WEIGHTS), e, Setting(OCCLUSION, "zero")) for e in (rows, grouped))
    np.testing.assert_allclose(together, np.stack([each[:, :2].sum(1), each[:, 2:].sum(1)], 1))


def test_images_are_covered_by_squares_and_every_pixel_is_covered() -> None:
    net = nn.Sequential(nn.Flatten(), LogLinear(torch.rand(2 * 14 * 14) / 100))
    inputs = torch.rand(3, 2, 14, 14)
    groups = [np.array([i, i + 196]) for i in range(196)]
    rows = Example(inputs, torch.zeros(3, dtype=torch.int64), {"zero": torch.zeros(1, 2, 14, 14)}, groups)
    told = attribution.attribute(net, rows, Setting(OCCLUSION, "zero"))
    assert told.shape == (3, 196)
    assert (told > 0).all()


def test_agreement_is_the_mean_spearman_correlation_with_students_interval() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(30, 12))
    b = a + rng.normal(size=(30, 12))
    rows = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    low, high = ttest_1samp(rows, 0).confidence_interval(0.9)
    assert attribution.agreement(a, b, 0.9) == pytest.approx({"value": np.mean(rows), "low": low, "high": high})


def test_pairs_are_asked_in_every_way_and_trees_by_occlusion_alone() -> None:
    nets = {"teacher": LogLinear(WEIGHTS), "student": LogLinear(WEIGHTS.clone())}
    pairs = {"same": ("teacher", "student")}
    told = attribution.agreements(nets, pairs, example(), 0.95, lambda name: True)
    assert len(told) == 5
    assert all(way["pairs"]["same"]["value"] == pytest.approx(1.0) for way in told)
    trees = attribution.agreements(nets, pairs, example(), 0.95, lambda name: name != "teacher")
    assert {way["method"] for way in trees} == {OCCLUSION}
