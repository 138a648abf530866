"""ONNX: the student as a graph that runs without torch, compared with it in ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.errors import StillhouseError
from stillhouse.exporting.formats.base import Exportable, Format, Made
from stillhouse.extras import library

BATCHES = (1, 2, 7)  # compared: one row, the traced number, and a number that no other size in a net is likely to be
TOLERANCE = 1e-5  # largest difference, in the form in which outputs are compared, that the order of arithmetic explains
INPUT = "inputs"
EXTRA = "onnx"


def make(student: Exportable, metadata: Mapping[str, str]) -> Made:
    """The graph as ONNX with a dynamic batch axis; its outputs are compared at batches of 1, 2 and 7.

    Where its inputs are texts, the token axis is dynamic too, and texts without their padding are compared.

    Raises:
        UsageError: onnx, onnxscript or onnxruntime is not installed.
        StillhouseError: the exporter cannot translate the model.
    """
    runtime = runtime_of()
    rows = _probe(student.inputs, max(BATCHES))
    graph = _Graph(student.graph)
    _check_outputs(graph(rows), student.outputs, len(rows))
    program = _translate(graph, rows[:2], student)  # torch.export treats a traced batch of one as a constant
    program.model.metadata_props.update(metadata)
    whole = [(rows[:batch], rows[:batch]) for batch in BATCHES]
    cases = [*whole, _shorter(rows)] if student.tokens else whole
    return Made(program.model_proto.SerializeToString(), partial(_compare, student, graph, runtime, cases))


def runtime_of() -> Any:
    """ONNX Runtime; all that an export needs is installed."""
    for package in ("onnx", "onnxscript"):
        library(package, "Exporting to ONNX")
    return library("onnxruntime", "Exporting to ONNX")


class _Graph(nn.Module):
    """A graph whose forward always returns a tuple."""

    def __init__(self, graph: nn.Module) -> None:
        super().__init__()
        self.inner = graph  # torch.export has a "graph" of its own

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        given = self.inner(inputs)
        return given if isinstance(given, tuple) else (given,)


def _shorter(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Texts without the padding that they share, and the same with it: both have the same vectors."""
    padding = rows[1:, -1:]
    longest = int((rows[1:] != padding).sum(1).max())
    return rows[1:, : max(longest, 1)], rows[1:]


def _translate(graph: nn.Module, rows: Tensor, student: Exportable) -> Any:
    axes = {0: torch.export.Dim("batch")}
    if student.tokens:
        axes[1] = torch.export.Dim("length", max=rows.shape[1])
    with quiet():
        try:
            return torch.onnx.export(
                graph, (rows,), dynamo=True, dynamic_shapes=(axes,), input_names=[INPUT],
                output_names=list(student.outputs), verbose=False,
            )  # fmt: skip
        except Exception as error:  # the exporter's errors have no common base that torch makes public
            raise StillhouseError(
                f"This model cannot be exported to ONNX: {reason(error)} Its forward must be a fixed sequence "
                "of tensor operations for any number of rows; or export the weights with the format safetensors."
            ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's progress, graph dumps and deprecation warnings off the user's terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        heard = io.StringIO()
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def reason(error: BaseException) -> str:
    """First line of the original error: the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].rstrip('.') if lines else 'no reason given'}."


def _probe(example: Tensor, rows: int) -> Tensor:
    """Return as many different rows as the largest batch: the examples, then the examples with noise of their size."""
    repeated = example[torch.arange(rows) % len(example)]
    if not repeated.is_floating_point():
        return repeated
    repeated = repeated.float()
    noise = torch.randn(repeated.shape, generator=torch.Generator().manual_seed(0))
    noise[: len(example)] = 0.0
    return repeated + noise * repeated.std()


def _check_outputs(given: tuple[object, ...], named: Mapping[str, Any], rows: int) -> None:
    if len(given) != len(named) or not all(isinstance(t, Tensor) and t.dim() == 2 and len(t) == rows for t in given):
        found = [tuple(t.shape) if isinstance(t, Tensor) else type(t).__name__ for t in given]
        shown = found[0] if len(found) == 1 else f"a tuple of {found}"
        raise StillhouseError(
            f"For {rows} rows this model returns {shown}. An exported model must return a tensor of the shape "
            f"({rows}, K) for each of {', '.join(named)}. Wrap it in a module whose forward returns only these."
        )
    if not all(torch.isfinite(t).all() for t in given if isinstance(t, Tensor)):
        raise StillhouseError(
            "This model's outputs for the example rows hold NaN or infinity: train it again before exporting."
        )


def _compare(
    student: Exportable, graph: nn.Module, runtime: Any, cases: Sequence[tuple[Tensor, Tensor]], file: Path
) -> None:
    """Compare the file's outputs with the graph's; the graph may get the same rows in another form."""
    for rows, asked in cases:
        own, batch = graph(asked), len(rows)
        try:
            session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            given = session.run(list(student.outputs), {INPUT: rows.numpy()})
        except Exception as error:  # ONNX Runtime's errors have no common base below Exception
            raise StillhouseError(
                f"The ONNX file does not run at a batch of {batch}, so it was not kept: {reason(error)} The forward "
                "must not depend on the number of rows; or export the weights with the format safetensors."
            ) from error
        for (name, compared), theirs, ours in zip(student.outputs.items(), given, own, strict=True):
            same = theirs.shape == ours.shape
            apart = (compared(torch.from_numpy(theirs)) - compared(ours)).abs().max().item() if same else float("inf")
            if not apart <= TOLERANCE:
                raise StillhouseError(
                    f"The outputs of the ONNX file differ from the torch student: {name} by up to {apart:.2g} at "
                    f"a batch of {batch} (allowed: {TOLERANCE:g}), so it was not kept. A layer that is random or that "
                    "depends on the number of rows in eval mode causes this; replace it, or export to safetensors."
                )


FORMAT = Format(".onnx", EXTRA, make)
