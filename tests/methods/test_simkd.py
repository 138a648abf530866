"""SimKD: what ships is the student up to the tap, the projector and the teacher's classifier, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.methods.simkd import SimKD
from stillhouse.taps import Taps
from stillhouse.types import Outputs, Spec, count_parameters
from tests.methods.examples import one_batch


def student_net() -> nn.Module:
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def built(layer: str = "embedding", shape: tuple[int, ...] = (4,), target: tuple[int, ...] = (8,)) -> SimKD:
    torch.manual_seed(1)
    method = SimKD(layer, "b")
    head = nn.Linear(8, 3)
    method.build(Spec(3, {layer: shape}, classifier="3"), Spec(3, {"b": target}, head=head))
    return method.eval()


def images() -> Tensor:
    return torch.randn(5, 1, 6, 6, generator=torch.Generator().manual_seed(2))


def by_hand(method: SimKD, feature: Tensor) -> Tensor:
    head: Any = method.head
    maps: Tensor = method.projector(feature[:, :, None, None] if feature.ndim == 2 else feature)
    logits: Tensor = head(maps.mean((2, 3)))
    return logits


@pytest.mark.parametrize("layer", ["embedding", "3:input"])
def test_what_ships_answers_through_the_teachers_classifier(layer: str) -> None:
    student, method = student_net(), built(layer)
    shipped = method.deploy(student).eval()
    with Taps(student, ["3:input"]) as taps:
        student(images())
        feature = taps.take()["3:input"]
    torch.testing.assert_close(shipped(images()), by_hand(method, feature))


@pytest.mark.parametrize(("layer", "shape"), [("embedding", (4,)), ("0", (4, 6, 6))])
def test_projector_and_teachers_classifier_count_and_the_students_own_classifier_does_not(
    layer: str, shape: tuple[int, ...]
) -> None:
    student, method = student_net(), built(layer, shape)
    backbone = count_parameters(student) - count_parameters(student[3])  # type: ignore[index]
    parts = count_parameters(method.projector) + 8 * 3 + 3
    assert count_parameters(method.deploy(student)) == backbone + parts


def test_a_hidden_tap_ships_too_and_a_shipped_state_loads_into_a_new_one() -> None:
    student, method = student_net(), built("0", (4, 6, 6), (8, 3, 3))
    shipped = method.deploy(student).eval()
    torch.testing.assert_close(shipped(images()), by_hand(method, student[0](images())))  # type: ignore[index]
    again = built("0", (4, 6, 6), (8, 3, 3))
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.fill_(0.5)
    rebuilt = again.deploy(student_net())
    rebuilt.load_state_dict(shipped.state_dict())
    torch.testing.assert_close(rebuilt.eval()(images()), shipped(images()))


@pytest.mark.parametrize(("layer", "shape"), [("embedding", (4,)), ("0", (4, 6, 6))])
def test_what_ships_can_be_exported(layer: str, shape: tuple[int, ...]) -> None:
    shipped = built(layer, shape).deploy(student_net()).eval()
    program: Any = torch.export.export(shipped, (images(),))
    torch.testing.assert_close(program.module()(images()), shipped(images()))


def test_what_ships_is_a_copy_and_keeps_no_hook_of_the_training() -> None:
    student, method = student_net(), built()
    with Taps(student, ["0", "embedding"]) as taps:
        shipped = method.deploy(torch.compile(student, backend="eager"))  # type: ignore[arg-type]
        before = shipped(images())
        with torch.no_grad():
            student[0][0].weight.zero_()  # type: ignore[index]
        torch.testing.assert_close(shipped(images()), before)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in shipped.modules())
        student(images())
        assert set(taps.take()) == {"0", "embedding"}


def test_the_reused_classifier_is_frozen_and_is_not_the_teachers_own() -> None:
    head = nn.Linear(8, 3)
    method = SimKD()
    method.build(Spec(3, {"embedding": (4,)}), Spec(3, {"embedding": (8,)}, head=head))
    assert method.head is not head
    assert all(not p.requires_grad for p in method.head.parameters())  # type: ignore[union-attr]
    assert head.weight.requires_grad


def test_a_teacher_without_a_classifier_can_teach_but_the_student_cannot_ship() -> None:
    method = SimKD()
    method.build(Spec(3, {"embedding": (4,)}), Spec(3, {"embedding": (8,)}))
    with pytest.raises(UsageError, match=r"Spec\(head=\.\.\.\)"):
        method.deploy(student_net())


def test_the_student_learns_the_teachers_feature_and_ships_its_answers() -> None:
    torch.manual_seed(0)
    method = built()
    method.train()
    inputs = torch.randn(64, 4)
    target = torch.relu(inputs @ torch.randn(4, 8))
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=0.02)
    logits = torch.zeros(64, 3)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = method(Outputs(logits, {"embedding": inputs}), Outputs(logits, {"b": target}), one_batch(64))["feature"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20


def test_samples_that_do_not_count_stay_out_of_the_batch_statistics() -> None:
    inputs, target, logits = torch.randn(6, 4), torch.randn(6, 8), torch.zeros(6, 3)
    mask = torch.tensor([True] * 4 + [False] * 2)
    whole, part = built().train(), built().train()
    inputs[4:] = 1e6
    masked = whole(Outputs(logits, {"embedding": inputs}), Outputs(logits, {"b": target}), one_batch(6, mask))
    alone = part(Outputs(logits, {"embedding": inputs[:4]}), Outputs(logits, {"b": target[:4]}), one_batch(4))
    torch.testing.assert_close(masked["feature"], alone["feature"])
    for ours, theirs in zip(whole.buffers(), part.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_tokens_are_refused_with_the_path_and_the_shape() -> None:
    with pytest.raises(UsageError, match=r"'embedding'.*\(7, 4\)"):
        SimKD().build(Spec(3, {"embedding": (7, 4)}), Spec(3, {"embedding": (8,)}))
