"""Teachers of language models: causal models of transformers; see ``teachers.protocol.TaskTeachers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from stillhouse.errors import UsageError
from stillhouse.task import OutputSpec
from stillhouse.teachers.protocol import Port, Read
from stillhouse.types import Outputs, logits_of

asks = "logits"
kinds: tuple[str, ...] = ()
onnx_outputs: Mapping[str, str | None] = {}
catboost = "CatBoost"
joins: tuple[str, ...] = ()


def read(spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = ()) -> Read:
    """Logits (B, T, V)."""
    return lambda answer, rows: Outputs(logits_of(answer).float())


read_module = read


def fits_port(port: Port, spec: OutputSpec) -> bool:
    """No: a graph has no windows."""
    return False


def _refuse(*given: Any, **more: Any) -> NoReturn:
    """Refuse: a language model comes from its folder or a GGUF file.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        'A language model is distilled from a causal model: `[teacher] hub = "folder"` of `save_pretrained`, or '
        '`gguf = "model.gguf"`.'
    )


estimator = booster = fit = predict = join = hub_net = _refuse
