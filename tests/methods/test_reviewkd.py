"""ReviewKD: golden value of the loss, and fusion from deep to shallow."""

from __future__ import annotations

import pytest
import torch

from stillhouse.methods.reviewkd import ReviewKD, reviewkd
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch
from tests.methods.golden import maps

STUDENT = {"a": (2, 8, 8), "b": (4, 4, 4), "embedding": (4,)}
TEACHER = {"c": (3, 8, 8), "d": (6, 5, 4), "embedding": (9,)}


def built(warmup: float = 0.0) -> ReviewKD:
    torch.manual_seed(0)
    method = ReviewKD(list(STUDENT), list(TEACHER), warmup)
    method.build(Spec(2, STUDENT), Spec(2, TEACHER))
    return method


def outputs(shapes: dict[str, tuple[int, ...]], size: int = 3) -> Outputs:
    generator = torch.Generator().manual_seed(len(shapes["embedding"]) + size)
    features = {path: torch.randn(size, *shape, generator=generator) for path, shape in shapes.items()}
    return Outputs(torch.zeros(size, 2), features)


def test_golden_value_of_one_level() -> None:
    assert reviewkd(*maps()).item() == pytest.approx(0.61182499, rel=1e-6)


def test_a_deep_feature_reaches_every_shallower_level_and_never_the_other_way() -> None:
    method, student = built(), outputs(STUDENT)
    deep = student.features["embedding"].requires_grad_(True)
    shallow = student.features["a"].requires_grad_(True)
    fused, passed = [], None
    for fusion, path in reversed(list(zip(method.fusions, STUDENT, strict=True))):
        feature = student.features[path]
        level, passed = fusion(feature if feature.ndim == 4 else feature[:, :, None, None], passed)
        fused.append(level)
    assert [level.shape[1:] for level in fused] == [(9, 1, 1), (6, 5, 4), (3, 8, 8)]
    for level in fused:
        (gradient,) = torch.autograd.grad(level.square().sum(), deep, retain_graph=True)
        assert gradient.abs().max() > 0
    assert torch.autograd.grad(fused[1].square().sum(), shallow, allow_unused=True)[0] is None


def test_the_loss_grows_over_the_warm_up() -> None:
    method, student, teacher = built(warmup=0.1), outputs(STUDENT), outputs(TEACHER)
    found = []
    for method.progress in (0.0, 0.05, 0.1, 0.9):
        found.append(method(student, teacher, one_batch(3))["review"].item())
    assert found[0] == 0.0
    assert found[1] == pytest.approx(found[2] / 2)
    assert found[3] == pytest.approx(found[2])


@pytest.mark.parametrize("size", [0, 1])
def test_a_batch_of_one_or_none_is_finite(size: int) -> None:
    method = built()
    loss = method(outputs(STUDENT, size), outputs(TEACHER, size), one_batch(size))["review"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)
