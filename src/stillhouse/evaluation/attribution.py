"""Whether teacher and student depend on the same parts of a row, by several methods of attribution.

No method of attribution is the right one, and each depends on its baseline. So several are used, and their agreement is
compared with an upper limit: the agreement of two seeds of the same student. Captum computes the attributions
(Kokhlikyan et al., "Captum: A unified and generic model interpretability library for PyTorch", 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.statistics import rank_correlation
from stillhouse.extras import library
from stillhouse.types import logits_of

STEPS = 32  # of the integral
CHUNK = 1024  # rows of the integral in one forward
INTEGRATED, OCCLUSION, PRODUCT = "integrated gradients", "occlusion", "input x gradient"
WINDOW = 7  # an occluding window is at least a seventh of an image's side


class Setting(NamedTuple):
    """One method of attribution."""

    method: str
    baseline: str  # name of the value that replaces a missing one; "" where there is none


class Example(NamedTuple):
    """The rows to explain, and the baselines of missing values."""

    inputs: Tensor  # (n, ...) encoded
    classes: Tensor  # (n,) int64: the answer to explain, the same for all nets
    baselines: Mapping[str, Tensor]  # by name, (1 or more, ...): the mean of the attributions over them is taken
    groups: Sequence[NDArray[np.int64]]  # flat positions that are one feature: a pixel's channels, a column's encoding


def captum() -> Any:
    """The library; an error that names the extra if it is not installed."""
    return library("captum.attr", "An explanation by attributions")


def settings(baselines: Mapping[str, Tensor]) -> list[Setting]:
    """The methods in use: integrated gradients and occlusion by baseline, and input times gradient."""
    by_baseline = [Setting(m, b) for m in (INTEGRATED, OCCLUSION) for b in baselines]
    return [*by_baseline, Setting(PRODUCT, "")]


def attribute(module: nn.Module, example: Example, setting: Setting) -> Floats:
    """The contribution of each feature of each row to the log-probability of the class, (n, F).

    ``module`` maps inputs to logits and is in eval mode.
    """

    def log_probability(inputs: Tensor) -> Tensor:
        # Not the logit: it includes a constant per row, which does not affect probabilities but differs between nets.
        return torch.log_softmax(logits_of(module(inputs)).float(), dim=-1)

    baselines = [b[None] for b in example.baselines[setting.baseline]] if setting.baseline else [None]
    asked = [_once(log_probability, example, setting.method, baseline) for baseline in baselines]
    flat = torch.stack(asked).mean(0).flatten(1).double().numpy()
    found: Floats = np.stack([flat[:, group].sum(1) for group in example.groups], axis=1)
    return found


def _once(forward: Callable[[Tensor], Tensor], example: Example, method: str, baseline: Tensor | None) -> Tensor:
    """Attributions against one baseline, in the shape of the inputs."""
    attr, inputs, classes = captum(), example.inputs.clone(), example.classes
    if method == OCCLUSION:
        window = occluding_window(tuple(inputs.shape[1:]))
        strides = tuple(max(1, side // 2) for side in window[-2:])
        with torch.no_grad():
            occlusion = attr.Occlusion(forward)
            found = occlusion.attribute(inputs, window, (*window[:-2], *strides), baselines=baseline, target=classes)
    elif method == INTEGRATED:
        integral = attr.IntegratedGradients(forward)
        found = integral.attribute(inputs, baseline, target=classes, n_steps=STEPS, internal_batch_size=CHUNK)
    else:
        found = attr.InputXGradient(forward).attribute(inputs.requires_grad_(), target=classes)
    tensor: Tensor = found.detach()
    return tensor


def occluding_window(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The part of one input that is covered at once: a square through all channels, or one number of a row.

    >>> occluding_window((1, 28, 28)), occluding_window((30,))
    ((1, 4, 4), (1,))
    """
    if len(shape) < 2:
        return (1,) * len(shape)
    side = max(1, round(min(shape[-2:]) / WINDOW))
    return (*shape[:-2], side, side)


def agreement(a: Floats, b: Floats, confidence: float) -> dict[str, float]:
    """Mean over rows of Spearman's correlation of two attributions (n, F), with Student's interval over the rows."""
    return mean_over_rows(rank_correlation(a, b), confidence)


def mean_over_rows(rows: Floats, confidence: float) -> dict[str, float]:
    """Mean of one correlation for each row (n,), with Student's interval over the rows."""
    from scipy.special import stdtrit

    value, count = float(rows.mean()), len(rows)
    half = float(stdtrit(count - 1, (1 + confidence) / 2) * rows.std(ddof=1) / np.sqrt(count)) if count > 1 else 2.0
    return {"value": value, "low": max(value - half, -1.0), "high": min(value + half, 1.0)}


def agreements(
    nets: Mapping[str, nn.Module], pairs: Mapping[str, tuple[str, str]], example: Example, confidence: float,
    smooth: Callable[[str], bool],
) -> list[dict[str, Any]]:  # fmt: skip
    """Agreement of pairs of nets by every method.

    Args:
        nets: by name.
        pairs: by name, the names of two nets.
        example: the rows.
        confidence: of the intervals.
        smooth: whether the net of a name has a gradient: for trees only occlusion is used.

    Returns:
        For each method ``method``, ``baseline`` and ``pairs`` by name with intervals, without impossible pairs.
    """
    found = []
    for setting in settings(example.baselines):
        able = {n: net for n, net in nets.items() if setting.method == OCCLUSION or smooth(n)}
        by_net = {name: attribute(net, example, setting) for name, net in able.items()}
        by_pair = {
            name: agreement(by_net[a], by_net[b], confidence)
            for name, (a, b) in pairs.items()
            if a in by_net and b in by_net
        }
        if by_pair:
            found.append({"method": setting.method, "baseline": setting.baseline, "pairs": by_pair})
    return found
