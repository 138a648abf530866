"""Embedding regression: golden value of the cosine, and a projector only where it is needed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stillhouse import methods
from stillhouse.errors import UsageError
from stillhouse.methods.embedding import Embedding, embedding
from stillhouse.types import Spec
from tests.methods.golden import rotation, rows


def test_golden_value_of_the_cosine() -> None:
    assert embedding(*rows(), distance="cosine").item() == pytest.approx(0.31967596, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(1e-3, 1e3))
def test_the_cosine_does_not_see_lengths_and_neither_sees_a_common_rotation(seed: int, scale: float) -> None:
    student, teacher = rows()
    turn = rotation(6, seed)
    plain = embedding(student, teacher, distance="cosine")
    torch.testing.assert_close(embedding(scale * student @ turn, teacher @ turn, distance="cosine"), plain)
    torch.testing.assert_close(embedding(student @ turn, teacher @ turn), embedding(student, teacher))


def test_equal_widths_are_compared_directly_and_others_through_a_projector() -> None:
    for width, kind in ((6, nn.Identity), (5, nn.Linear)):
        method = Embedding()
        method.build(Spec(2, {"embedding": (width,)}), Spec(2, {"embedding": (6,)}))
        assert isinstance(method.projector, kind)


def test_an_unknown_distance_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean 'cosine'"):
        methods.make("embedding", distance="cosin")
    with pytest.raises(UsageError, match="Did you mean 'mse'"):
        embedding(*rows(), distance="mes")
