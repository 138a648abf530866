"""An exported file answers as the torch student does, or it does not exist."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from stillhouse import students
from stillhouse.errors import StillhouseError, UsageError
from stillhouse.exporting import Exportable, export, formats
from stillhouse.tasks.classification.predictor import with_probabilities
from stillhouse.tasks.predictor import Graph

METADATA = {"classes": json.dumps(["a", "b", "ç"]), "encoder": json.dumps({"mean": 0.5})}


def classifier(net: nn.Module, rows: Tensor) -> Exportable:
    """A classifier as it ships."""
    outputs = {"logits": lambda logits: logits.softmax(-1), "probabilities": lambda probabilities: probabilities}
    return Exportable(net, rows, Graph(net, with_probabilities), rows, outputs)


def alone(net: nn.Module, rows: Tensor) -> Exportable:
    """Any module, with one output."""
    return Exportable(net, rows, net, rows, {"answer": lambda answer: answer})


def trained(name: str, shape: tuple[int, ...], classes: int = 3) -> nn.Module:
    """A net whose batch statistics and weights are no longer those of its first second."""
    torch.manual_seed(0)
    net = students.make(name, shape=shape, outputs=classes, settings={})
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(3):
        loss = nn.functional.cross_entropy(net(torch.randn(16, *shape)), torch.arange(16) % classes)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return net


def session(file: Path) -> Any:
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("name", "shape"), [("cnn_tiny", (1, 28, 28)), ("cnn_large", (3, 9, 12)), ("mlp_tiny", (5,)), ("mlp_large", (2, 3))]
)
def test_onnx_answers_as_the_student_at_any_batch(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    net = trained(name, shape)
    file = export(
        classifier(net, torch.randn(1, *shape)), tmp_path / "sub" / "student.onnx", format="onnx", metadata=METADATA
    )
    onnx.checker.check_model(onnx.load(file), full_check=True)
    for batch in (1, 3, 33):
        rows = torch.randn(batch, *shape)
        logits, probabilities = session(file).run(["logits", "probabilities"], {"inputs": rows.numpy()})
        expected = net.eval()(rows).detach()
        np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(probabilities, expected.softmax(-1).numpy(), atol=1e-5)


@pytest.mark.slow
def test_onnx_carries_classes_and_preprocessing(tmp_path: Path) -> None:
    file = export(
        classifier(trained("mlp_tiny", (4,)), torch.randn(2, 4)), tmp_path / "s.onnx", format="onnx", metadata=METADATA
    )
    assert session(file).get_modelmeta().custom_metadata_map == METADATA


@pytest.mark.slow
def test_onnx_is_one_file_in_float32(tmp_path: Path) -> None:
    export(classifier(trained("mlp_large", (64,)), torch.randn(2, 64)), tmp_path / "s.onnx", format="onnx", metadata={})
    assert [p.name for p in tmp_path.iterdir()] == ["s.onnx"]
    weights = onnx.load(tmp_path / "s.onnx").graph.initializer
    assert {w.data_type for w in weights if len(w.dims) == 2} == {onnx.TensorProto.FLOAT}


class Residual(nn.Module):
    """A module of the user's own, with a branch, normalisation over features, and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.norm(inputs + self.inner(inputs).relu())
        mixed, _ = self.attention(hidden, hidden, hidden, need_weights=False)
        logits: Tensor = self.head(mixed.mean(1))
        return logits


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_the_model_is_left_as_it_was(tmp_path: Path, format: str) -> None:
    net = trained("cnn_tiny", (1, 8, 8)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train()
    net.blocks[0].eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    modes = [m.training for m in net.modules()]
    strides = [p.stride() for p in net.parameters()]
    export(classifier(net, torch.randn(2, 1, 8, 8)), tmp_path / "s", format=format, metadata={})
    assert modes == [m.training for m in net.modules()]
    assert strides == [p.stride() for p in net.parameters()]
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_a_module_of_the_users_own_is_exported(tmp_path: Path) -> None:
    net = Residual()
    file = export(classifier(net, torch.randn(3, 5, 8)), tmp_path / "s.onnx", format="onnx", metadata={})
    rows = torch.randn(11, 5, 8)
    (logits,) = session(file).run(["logits"], {"inputs": rows.numpy()})
    np.testing.assert_allclose(logits, net.eval()(rows).detach().numpy(), atol=1e-5)


@pytest.mark.slow
def test_a_bfloat16_student_is_exported_in_float32(tmp_path: Path) -> None:
    net = trained("mlp_tiny", (4,)).bfloat16()
    file = export(classifier(net, torch.randn(2, 4)), tmp_path / "s.onnx", format="onnx", metadata={})
    assert session(file).get_inputs()[0].type == "tensor(float)"


class Branching(nn.Module):
    """Python control flow on a value: no graph holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs)
        return logits if logits.sum().item() > 0 else -logits


class FixedRows(nn.Module):
    """Holds only for the number of rows it was traced with."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs)
        return logits + 1 if len(inputs) == 2 else logits


class Random(nn.Module):
    """Answers differently each time, eval mode or not."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(nn.functional.dropout(inputs, 0.5, training=True))
        return logits


class Pair(nn.Module):
    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, inputs


class Undefined(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * float("nan")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (Branching(), "cannot be exported to ONNX: .*data-dependent"),
        (FixedRows(), "batch of 1"),
        (Random(), "differ"),
        (Pair(), "tuple"),
        (Undefined(), "NaN"),
    ],
)
def test_a_model_that_cannot_be_exported_says_why_and_leaves_nothing(
    tmp_path: Path, net: nn.Module, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StillhouseError, match=reason) as caught:
        export(alone(net, torch.randn(4, 4)), tmp_path / "s.onnx", format="onnx", metadata={})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_failed_export_keeps_the_older_file(tmp_path: Path) -> None:
    (tmp_path / "s.onnx").write_bytes(b"older")
    with pytest.raises(StillhouseError):
        export(alone(Pair(), torch.randn(4, 4)), tmp_path / "s.onnx", format="onnx", metadata={})
    assert (tmp_path / "s.onnx").read_bytes() == b"older"


def test_safetensors_hold_every_weight_bit_for_bit(tmp_path: Path) -> None:
    net = trained("cnn_tiny", (1, 8, 8)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    file = export(
        classifier(net, torch.randn(1, 1, 8, 8)), tmp_path / "s.safetensors", format="safetensors", metadata=METADATA
    )
    written = load_file(file)
    assert written.keys() == net.state_dict().keys()
    assert all(torch.equal(written[k], v) for k, v in net.state_dict().items())
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata() == METADATA


def test_tied_weights_load_with_a_plain_load_state_dict(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    file = export(classifier(net, torch.randn(1, 4)), tmp_path / "s.safetensors", format="safetensors", metadata={})
    other = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    other.load_state_dict(load_file(file))
    rows = torch.randn(5, 4)
    assert torch.equal(other(rows), net(rows))


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'onnx'"):
        export(alone(Pair(), torch.randn(1, 4)), tmp_path / "s", format="onx", metadata={})


def test_a_missing_runtime_names_the_extra(tmp_path: Path) -> None:
    """In a process of its own, whose import system cannot find the package."""
    script = f"""
import sys
from pathlib import Path
sys.modules["onnxruntime"] = None
import torch
from stillhouse.errors import UsageError
from stillhouse.exporting import Exportable, export
net, rows = torch.nn.Linear(2, 2), torch.zeros(1, 2)
shipped = Exportable(net, rows, net, rows, {{"answer": lambda answer: answer}})
try:
    export(shipped, Path({str(tmp_path / "s.onnx")!r}), format="onnx", metadata={{}})
except UsageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "stillhouse[onnx]" in done.stdout
    assert list(tmp_path.iterdir()) == []


class Trembling(nn.Module):
    """Adds the same random number to all outputs of a row."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = nn.functional.dropout(torch.ones_like(inputs[:, :1]), 0.5, training=True)
        return inputs, inputs + noise


@pytest.mark.slow
def test_every_output_of_a_graph_is_compared(tmp_path: Path) -> None:
    net, rows = Trembling(), torch.randn(4, 4)
    shipped = Exportable(net, rows, net, rows, {"first": lambda t: t, "second": lambda t: t})
    with pytest.raises(StillhouseError, match="differ from the torch student: second"):
        export(shipped, tmp_path / "s.onnx", format="onnx", metadata={})


@pytest.mark.slow
def test_outputs_are_compared_in_the_form_that_the_task_names(tmp_path: Path) -> None:
    net, rows = Trembling(), torch.randn(4, 4)
    shipped = Exportable(net, rows, net, rows, {"first": lambda t: t, "second": lambda t: t.softmax(-1)})
    assert export(shipped, tmp_path / "s.onnx", format="onnx", metadata={}).exists()


def test_the_formats_are_the_files_of_their_folder() -> None:
    folder = Path(formats.__file__).parent
    assert set(formats.names()) == {p.stem for p in folder.glob("*.py")} - {"__init__", "base"}
    assert {"onnx", "safetensors"} <= set(formats.names())
    assert len({formats.get(name).suffix for name in formats.names()}) == len(formats.names())
