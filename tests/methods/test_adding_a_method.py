"""Adding a method is one file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stillhouse import methods
from stillhouse.errors import UsageError
from stillhouse.types import Batch, Outputs

FILE = """
from stillhouse.methods.base import Method, Paper


class Gap(Method):
    paper = Paper("Nobody", "A gap of logits", "nowhere", 2026)
    family = "logit"
    needs = frozenset({"logits"})

    def __init__(self, power: float = 2.0) -> None:
        super().__init__()
        self.power = power

    def forward(self, student, teacher, batch):
        return {"gap": (student.logits - teacher.logits).abs().pow(self.power).mean()}


METHOD = Gap
"""


def test_a_file_dropped_into_the_folder_is_a_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gap_of_logits.py").write_text(FILE)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert "gap_of_logits" in methods.names()
    method = methods.make("gap_of_logits", power=1.0)
    zeros = torch.zeros(2, dtype=torch.int64)
    terms = method(Outputs(torch.ones(2, 3)), Outputs(torch.zeros(2, 3)), Batch(zeros, zeros, zeros, zeros))
    assert terms["gap"].item() == 1.0
    with pytest.raises(UsageError, match="power"):
        methods.make("gap_of_logits", powr=1.0)
    with pytest.raises(UsageError, match="gap_of_logits"):
        methods.make("gap_of_logit")
