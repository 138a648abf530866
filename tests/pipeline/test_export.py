"""What is shipped answers as the student does, whoever wrote the student."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stillhouse.data import TextEncoder
from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill, export
from tests.pipeline.knowing import Knowing, make_data

LENGTH = 6  # of the rows of token ids


class OfIds(nn.Module):
    """A user's own net of token ids: it cannot read floats."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.table(ids).mean(1))
        return logits


def own(folder: Path, teacher: nn.Module, student: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Run:
    """A run of nets that came from Python."""
    torch.set_num_threads(1)
    return distill(
        teacher=teacher, student=student, data=((x[:200], y[:200]), None, (x[200:], y[200:])), out=folder,
        accept_teacher=True, recipe={"evaluation": {"resamples": 100}}, steps=10, batch_size=32, seeds=[0],
    )  # fmt: skip


def answers(file: Path, rows: np.ndarray) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["probabilities"], {"inputs": rows})[0]
    return found


def test_a_module_of_the_users_own_is_exported_when_it_is_given_again(tmp_path: Path) -> None:
    x, y = make_data()
    run = own(tmp_path / "run", Knowing([0, 1, 2]), nn.Linear(4, 3), x[:300], y[:300])
    assert "shape" not in json.loads((run.folder / "student" / "model.json").read_text())["net"]
    with pytest.raises(UsageError, match="your own module"):
        export(run.folder)
    student = nn.Linear(4, 3)
    file = export(run.folder, "onnx", module=student)
    rows = torch.randn(5, 4)
    np.testing.assert_allclose(answers(file, rows.numpy()), student(rows).softmax(-1).detach().numpy(), atol=1e-5)
    assert export(run.folder, "safetensors", module=student).is_file()


def test_a_net_of_token_ids_is_traced_with_ids(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 10, (260, LENGTH), generator=draw)
    run = own(tmp_path / "run", OfIds(), OfIds(), ids, (ids.float().mean(1) > 4.5).long())
    student = OfIds()
    file = export(run.folder, "onnx", module=student)
    np.testing.assert_allclose(answers(file, ids[:9].numpy()), student(ids[:9]).softmax(-1).detach().numpy(), atol=1e-5)


def test_rows_of_a_text_encoder_are_ids_of_its_vocabulary_and_padding() -> None:
    texts = np.array(["the still house", "a house of glass", "the glass is still"] * 5, dtype=object)
    encoder = TextEncoder.fit(texts, vocabulary=60, length=8)
    rows = encoder.example(7, torch.Generator().manual_seed(0))
    assert rows.dtype == torch.int64
    assert rows.shape == (7, 8)
    assert int(rows.min()) >= 0
    assert int(rows.max()) < encoder.vocabulary
    assert (rows[0] > 0).all()
    assert (rows[1:, 4:] == 0).all()
