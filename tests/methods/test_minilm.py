"""MiniLMv2: relations need neither equal widths nor equal heads, and padding is neither query nor key."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import UsageError
from stillhouse.methods.minilm import MiniLM, minilm
from stillhouse.types import Outputs, Spec
from tests.methods.examples import one_batch
from tests.methods.golden import rotation


def sides() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(2, 4, 6, generator=generator, dtype=torch.float64)
    return student, torch.randn(2, 4, 12, generator=generator, dtype=torch.float64)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_a_rotation_inside_each_head_and_the_order_of_heads_and_tokens_change_nothing(seed: int) -> None:
    student, teacher = sides()
    plain = minilm(student, teacher, relation_heads=2)
    turned = torch.cat([part @ rotation(3, seed + i) for i, part in enumerate(student.chunk(2, -1))], -1)
    torch.testing.assert_close(minilm(turned, teacher, relation_heads=2), plain)
    swapped = torch.cat(teacher.chunk(2, -1)[::-1], -1), torch.cat(student.chunk(2, -1)[::-1], -1)
    torch.testing.assert_close(minilm(swapped[1], swapped[0], relation_heads=2), plain)
    torch.testing.assert_close(minilm(student.flip(1), teacher.flip(1), relation_heads=2), plain)


def test_padding_tokens_changes_nothing() -> None:
    student, teacher = sides()
    mask = torch.tensor([[True] * 4 + [False] * 2] * 2)
    padded = [torch.cat([s, torch.full((2, 2, s.shape[2]), torch.nan, dtype=s.dtype)], 1) for s in (student, teacher)]
    leaf = padded[0].requires_grad_(True)
    loss = minilm(leaf, padded[1], relation_heads=3, mask=mask)
    (gradient,) = torch.autograd.grad(loss, leaf)
    torch.testing.assert_close(loss, minilm(student, teacher, relation_heads=3))
    assert (gradient[:, 4:] == 0).all()


def test_a_sample_of_padding_alone_is_left_out_and_finite() -> None:
    student, teacher = sides()
    mask = torch.tensor([[True] * 4, [False] * 4])
    alone = minilm(student[:1], teacher[:1], relation_heads=2)
    torch.testing.assert_close(minilm(student, teacher, relation_heads=2, mask=mask), alone)


def test_relation_heads_are_fitted_to_both_widths_and_projections_are_tapped() -> None:
    method = MiniLM("s", "t")
    assert method.student_layers == ("s:query", "s:key", "s:value")
    shapes = dict.fromkeys(method.student_layers, (4, 6)), dict.fromkeys(method.teacher_layers, (4, 12))
    method.build(Spec(2, shapes[0]), Spec(2, shapes[1]))
    assert method.relation_heads == 6
    student, teacher = (side.float() for side in sides())
    mine, theirs = dict.fromkeys(method.student_layers, student), dict.fromkeys(method.teacher_layers, teacher)
    logits = torch.zeros(2, 2)
    terms = method(Outputs(logits, mine), Outputs(logits, theirs), one_batch(2))
    assert set(terms) == {"query", "key", "value"}
    torch.testing.assert_close(terms["key"], minilm(student, teacher, relation_heads=6))


def test_base_teachers_and_their_students_get_the_papers_48_heads() -> None:
    method = MiniLM("s", "t")
    shapes = dict.fromkeys(method.student_layers, (4, 384)), dict.fromkeys(method.teacher_layers, (4, 768))
    method.build(Spec(2, shapes[0]), Spec(2, shapes[1]))
    assert method.relation_heads == 48


def test_heads_that_do_not_divide_a_width_and_tokens_of_other_samples_are_errors() -> None:
    student, teacher = sides()
    with pytest.raises(UsageError, match="relation_heads = 4 does not divide the projection's width 6"):
        minilm(student, teacher, relation_heads=4)
    with pytest.raises(UsageError, match=r"\(2, 3, 6\).*\(2, 4, 12\)"):
        minilm(student[:, :3], teacher, relation_heads=2)
