"""A finished run of the tiny recipe."""

from __future__ import annotations

import pytest
import torch

from stillhouse.pipeline import Run, distill
from tests.pipeline.recipes import write_recipe


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """With the control that has a teacher of its own."""
    torch.set_num_threads(1)
    file = write_recipe(tmp_path_factory.mktemp("finished"), controls={"same_teacher": True}, training={"workers": 1})
    return distill(file, accept_teacher=True)
