"""Channel-wise distillation: T^2 inside, one distribution a channel, sizes joined by an adapter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillhouse.methods.cwd import CWD, cwd
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch
from tests.methods.golden import maps
from tests.reference import feature


def test_the_default_is_the_papers_temperature_of_4() -> None:
    student, teacher = maps()
    expected = feature.cwd(student.numpy(), teacher.numpy(), temperature=4.0)
    assert cwd(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_the_gradient_keeps_its_scale_as_temperature_moves() -> None:
    student, teacher = maps()
    student = student.clone().requires_grad_(True)
    norms = [torch.autograd.grad(cwd(student, teacher, t), student)[0].norm().item() for t in (1.0, 4.0, 16.0)]
    assert max(norms) < 2 * min(norms)


def test_a_constant_added_to_a_channel_and_the_order_of_positions_change_nothing() -> None:
    student, teacher = maps()
    shifted = student + torch.tensor([5.0, -3.0, 100.0], dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(cwd(shifted, teacher), cwd(student, teacher))
    torch.testing.assert_close(cwd(student.flip(2, 3), teacher.flip(2, 3)), cwd(student, teacher))


def test_tokens_are_positions_and_their_width_the_channels() -> None:
    student, teacher = maps()
    tokens = [side.flatten(2).transpose(1, 2) for side in (student, teacher)]
    torch.testing.assert_close(cwd(tokens[0], tokens[1]), cwd(student, teacher))


def test_equal_shapes_need_no_adapter_and_others_get_one() -> None:
    method = CWD(["a", "b"], ["c", "c"])
    method.build(Spec(2, {"a": (3, 4, 4), "b": (2, 8, 8)}), Spec(2, {"c": (3, 4, 4)}))
    assert isinstance(method.adapters[0], nn.Identity)
    logits = torch.zeros(2, 2)
    student = {"a": torch.randn(2, 3, 4, 4), "b": torch.randn(2, 2, 8, 8)}
    loss = method(Outputs(logits, student), Outputs(logits, {"c": student["a"]}), one_batch(2))["channels"]
    torch.testing.assert_close(loss, cwd(method.adapters[1](student["b"]), student["a"]))
