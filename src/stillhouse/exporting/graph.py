"""ONNX: the student as a graph that runs without torch, compared with it in ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stillhouse.errors import StillhouseError, UsageError

BATCHES = (
    1,
    2,
    7,
)  # compared: one row, the traced number of rows, and one that nothing else in a net is likely to have
TOLERANCE = 1e-5  # largest difference of a probability, or of a unit vector, that another order of arithmetic explains
INPUT, LOGITS, PROBABILITIES, VECTORS = "inputs", "logits", "probabilities", "vectors"
Answers = Literal["classes", "vectors"]
OUTPUTS: Mapping[Answers, list[str]] = {"classes": [LOGITS, PROBABILITIES], "vectors": [VECTORS]}  # compared: the last


def write(
    model: nn.Module, example: Tensor, out: Path, metadata: Mapping[str, str], answers: Answers = "classes"
) -> None:
    """Write the model as ONNX with a dynamic batch axis, and compare its probabilities at batches of 1, 2 and 7.

    Of a model that gives vectors of texts, these are compared, and the axis of the tokens is dynamic too.

    Raises:
        UsageError: onnx, onnxscript or onnxruntime is not installed.
        StillhouseError: the exporter cannot translate the model, or the graph answers differently.
    """
    runtime = _runtime()
    rows = _probe(example, max(BATCHES))
    _check_answer(model(rows), len(rows))
    program = _translate(model, rows[:2], answers)  # torch.export takes a traced batch of one for a constant
    program.model.metadata_props.update(metadata)
    program.save(str(out), external_data=False)
    whole = [(rows[:batch], rows[:batch]) for batch in BATCHES]
    _compare(model, runtime, out, whole if answers == "classes" else [*whole, _shorter(rows)], answers)


def _runtime() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"Exporting to ONNX needs the package {error.name!r}, which is not installed: "
            "`pip install 'stillhouse[onnx]'`, or export to safetensors."
        ) from error
    return onnxruntime


class _Answer(nn.Module):
    """What the file answers: vectors; or the logits, and the probabilities that most readers want."""

    def __init__(self, model: nn.Module, answers: Answers) -> None:
        super().__init__()
        self.model, self.answers = model, answers

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        given = self.model(inputs)
        return (given, given.softmax(-1)) if self.answers == "classes" else (given,)


def _shorter(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Texts without the padding that they share, and the same with it: both have the same vectors."""
    padding = rows[1:, -1:]
    longest = int((rows[1:] != padding).sum(1).max())
    return rows[1:, : max(longest, 1)], rows[1:]


def _translate(model: nn.Module, rows: Tensor, answers: Answers) -> Any:
    axes = {0: torch.export.Dim("batch")}
    if answers == "vectors":
        axes[1] = torch.export.Dim("length", max=rows.shape[1])
    with _quiet():
        try:
            return torch.onnx.export(
                _Answer(model, answers),
                (rows,),
                dynamo=True,
                dynamic_shapes=(axes,),
                input_names=[INPUT],
                output_names=OUTPUTS[answers],
                verbose=False,
            )
        except Exception as error:  # the exporter's errors have no common base that torch makes public
            raise StillhouseError(
                f"This model cannot be exported to ONNX: {_reason(error)} Its forward must be a fixed sequence "
                "of tensor operations for any number of rows; or export the weights with the format safetensors."
            ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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


def _reason(error: BaseException) -> str:
    """First line of the error that began it all: the exporter wraps it in pages of advice."""
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


def _check_answer(answer: object, rows: int) -> None:
    if not isinstance(answer, Tensor) or answer.dim() != 2 or len(answer) != rows:
        shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
        raise StillhouseError(
            f"This model answers {rows} rows with {shape}, and an exported one answers with logits or vectors of the "
            f"shape ({rows}, C). Wrap it in a module whose forward returns them alone."
        )
    if not torch.isfinite(answer).all():
        raise StillhouseError(
            "This model answers the example rows with NaN or infinity: train it again before exporting."
        )


def _compare(
    model: nn.Module, runtime: Any, file: Path, cases: Sequence[tuple[Tensor, Tensor]], answers: Answers
) -> None:
    """Compare the file's answers with the model's, which may be asked the same in another form."""
    compared = OUTPUTS[answers][-1]
    for rows, asked in cases:
        own, batch = _Answer(model, answers)(asked)[-1], len(rows)
        length = own.norm(dim=1, keepdim=True).clamp(min=1e-12) if answers == "vectors" else 1.0
        try:
            session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            (given,) = session.run([compared], {INPUT: rows.numpy()})
        except Exception as error:  # ONNX Runtime's errors have no common base below Exception
            raise StillhouseError(
                f"The ONNX file does not run at a batch of {batch}, so it was not kept: {_reason(error)} The forward "
                "must not depend on the number of rows; or export the weights with the format safetensors."
            ) from error
        same = given.shape == own.shape
        difference = ((torch.from_numpy(given) - own) / length).abs().max().item() if same else float("inf")
        if not difference <= TOLERANCE:
            raise StillhouseError(
                f"The ONNX file answers differently from the torch student: {compared} differ by up to "
                f"{difference:.2g} at a batch of {batch} (allowed: {TOLERANCE:g}), so it was not kept. A layer that is "
                "random or depends on the number of rows in eval mode does this; replace it, or export to safetensors."
            )
