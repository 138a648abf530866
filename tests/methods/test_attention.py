"""Attention transfer: which form the published weight belongs to, and what the maps do not see."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse.errors import UsageError
from stillhouse.methods.attention import Attention, attention
from stillhouse.types import Outputs
from tests.methods.examples import one_batch
from tests.methods.golden import maps
from tests.reference import feature


def test_the_published_weight_belongs_to_the_mean_of_squares_and_not_to_the_papers_norm() -> None:
    student, teacher = maps()
    ours = attention(student, teacher).item()
    assert ours == pytest.approx(feature.attention(student.numpy(), teacher.numpy()), rel=1e-12)
    norms = feature.attention_paper(student.numpy(), teacher.numpy())
    assert ours < norms / 10  # the paper's own formula with beta = 1000 would drown every other term


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(1e-3, 1e3))
def test_the_scale_of_the_activations_and_the_order_of_the_channels_do_not_matter(scale: float) -> None:
    student, teacher = maps()
    torch.testing.assert_close(attention(scale * student.flip(1), teacher), attention(student, teacher))


def test_odd_powers_are_taken_of_the_magnitude_as_in_the_paper() -> None:
    student, teacher = maps()
    torch.testing.assert_close(attention(-student, teacher, p=3), attention(student, teacher, p=3))


def test_of_maps_of_two_sizes_the_larger_is_averaged_down_first() -> None:
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)
    small = torch.tensor(np.stack([feature.pool(s, 2) for s in student.numpy()]))
    torch.testing.assert_close(attention(student, teacher), attention(small, teacher))
    torch.testing.assert_close(attention(teacher, student), attention(teacher, small))


def test_padding_tokens_changes_nothing() -> None:
    student, teacher = torch.randn(2, 3, 4), torch.randn(2, 3, 6)
    mask = torch.tensor([[True] * 3 + [False] * 2] * 2)
    padded = [torch.cat([side, torch.full((2, 2, side.shape[2]), torch.nan)], 1) for side in (student, teacher)]
    torch.testing.assert_close(attention(padded[0], padded[1], mask=mask), attention(student, teacher))


def test_pairs_of_layers_add_up() -> None:
    student, teacher = {"a": torch.randn(2, 3, 4, 4), "b": torch.randn(2, 3, 2, 2)}, {"c": torch.randn(2, 5, 4, 4)}
    method = Attention(["a", "b"], ["c", "c"])
    logits = torch.zeros(2, 2)
    found = method(Outputs(logits, student), Outputs(logits, teacher), one_batch(2))["attention"]
    torch.testing.assert_close(found, attention(student["a"], teacher["c"]) + attention(student["b"], teacher["c"]))


def test_layers_that_do_not_pair_up_are_an_error_with_the_line_that_mends_it() -> None:
    with pytest.raises(UsageError, match=r"student_layers = \['a'\]"):
        Attention("a", ["b"])
    with pytest.raises(UsageError, match="2 layers and teacher_layers 1"):
        Attention(["a", "b"], ["c"])
    with pytest.raises(UsageError, match="one pair at least"):
        Attention([], [])
