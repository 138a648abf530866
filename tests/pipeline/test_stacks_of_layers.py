"""Any stack of layers is accepted as a student, or refused in words."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, weight_norm

from stillhouse.errors import StillhouseError
from stillhouse.pipeline.student.own import own_student, tried
from stillhouse.task import OutputSpec
from stillhouse.tasks import get

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))

parts = st.sampled_from(
    [
        lambda wide: nn.BatchNorm1d(wide),
        lambda wide: nn.LayerNorm(wide),
        lambda wide: nn.Dropout(0.2),
        lambda wide: nn.LazyLinear(wide),
        lambda wide: weight_norm(nn.Linear(wide, wide)),
        lambda wide: parametrizations.weight_norm(nn.Linear(wide, wide)),
        lambda wide: parametrizations.spectral_norm(nn.Linear(wide, wide)),
        lambda wide: nn.PReLU(wide),
        lambda wide: nn.Unflatten(1, (wide, 1)),
        lambda wide: nn.Flatten(),
    ]
)


@given(drawn=st.lists(parts, max_size=4), dtype=st.sampled_from([torch.float32, torch.float64, torch.float16]))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_stack_of_parts_is_accepted_or_refused_in_words(drawn: list[Any], dtype: torch.dtype) -> None:
    net = nn.Sequential(nn.Linear(4, 6), *(make(6) for make in drawn), nn.Flatten(), nn.LazyLinear(3)).to(dtype)
    try:
        make = tried(own_student(net), net, X, get("classification"), OutputSpec((3,), ("a", "b", "c")), 8)
    except StillhouseError:
        return
    answered = make().eval()(X[:7])
    assert answered.shape == (7, 3)
    assert answered.dtype == torch.float32
