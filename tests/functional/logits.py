"""Hypothesis strategies for logits."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor


@st.composite
def pairs(draw: st.DrawFn, scale: float = 8.0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Student and teacher, (N, C), N in 1..5 and C in 2..7; each value drawn, so that shrinking finds the culprit."""
    samples, classes = draw(st.integers(1, 5)), draw(st.integers(2, 7))
    size = samples * classes
    numbers = st.lists(st.floats(-scale, scale, width=32), min_size=size, max_size=size)
    student, teacher = (torch.tensor(draw(numbers), dtype=dtype).reshape(samples, classes) for _ in range(2))
    return student, teacher
