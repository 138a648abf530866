"""VkD: the projection stays orthogonal while it learns, in half precision too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.methods.vkd import VKD, vkd
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch
from tests.methods.golden import rows


def built(student: int = 4, teacher: int = 6) -> VKD:
    torch.manual_seed(0)
    method = VKD()
    method.build(Spec(2, {"embedding": (student,)}), Spec(2, {"embedding": (teacher,)}))
    return method


def loss(method: VKD, mine: Tensor, theirs: Tensor) -> Tensor:
    logits = torch.zeros(len(mine), 2)
    student, teacher = Outputs(logits, {"embedding": mine}), Outputs(logits, {"embedding": theirs})
    found: Tensor = method(student, teacher, one_batch(len(mine)))["projection"]
    return found


@pytest.mark.parametrize("half", [False, True])
def test_the_projection_keeps_lengths_and_angles_after_training(half: bool) -> None:
    method = built()
    mine, theirs = torch.randn(16, 4), torch.randn(16, 6)
    optimizer = torch.optim.SGD(method.parameters(), lr=1.0)
    before = method.projection.columns()
    for _ in range(5):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            torch.autograd.backward(loss(method, mine, theirs))
        optimizer.step()
    weight: Tensor = method.projection.columns()
    assert not torch.allclose(weight, before)
    torch.testing.assert_close(weight.T @ weight, torch.eye(4), rtol=0, atol=1e-5)


def test_scale_and_offset_of_each_teacher_row_change_nothing() -> None:
    student, teacher = rows()
    torch.testing.assert_close(vkd(student, 1e3 * teacher + 7), vkd(student, 1e2 * teacher), rtol=1e-6, atol=1e-6)


def test_maps_are_averaged_over_their_pixels_on_either_side() -> None:
    method = VKD("a", "b")
    method.build(Spec(2, {"a": (4, 3, 3)}), Spec(2, {"b": (6,)}))
    maps, theirs = torch.randn(2, 4, 3, 3), torch.randn(2, 6)
    logits = torch.zeros(2, 2)
    found = method(Outputs(logits, {"a": maps}), Outputs(logits, {"b": theirs}), one_batch(2))["projection"]
    torch.testing.assert_close(found, vkd(method.projection(maps.mean((2, 3))), theirs))


def test_a_student_wider_than_its_teacher_is_refused_with_the_cure() -> None:
    with pytest.raises(UsageError, match=r"width 8 .*width 6"):
        built(student=8)
