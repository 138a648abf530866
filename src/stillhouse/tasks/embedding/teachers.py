"""Teachers of vectors: modules, functions and fitted transformers give one vector for each row.

``Task.teachers`` of the task; ``teachers.protocol.TaskTeachers`` explains each name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.task import OutputSpec
from stillhouse.teachers.protocol import Booster, Port, Read
from stillhouse.teachers.values import as_outputs, numbers
from stillhouse.types import Outputs

asks = "transform"
kinds: tuple[str, ...] = ()
onnx_outputs = {"sentence_embedding": None, "embedding": None, "embeddings": None}
catboost = "CatBoost"
joins: tuple[str, ...] = ("mean",)


def read(spec: OutputSpec, kind: str | None = None, columns: Sequence[Any] = ()) -> Read:
    """Vectors (B, D)."""
    return lambda answer, rows: Outputs(as_outputs(numbers(answer, rows, spec)))


read_module = read


def estimator(model: Any, spec: OutputSpec, kind: str | None = None) -> tuple[Callable[[Any], Any], Read]:
    """A fitted transformer of scikit-learn."""
    if not hasattr(model, "transform"):
        raise RejectedError(f"{type(model).__name__} has no `transform` and gives no vectors. Give a model that does.")
    return model.transform, read(spec)


def booster(library: str, objective: str, columns: int, spec: OutputSpec) -> Booster:
    """Refuse: no booster gives vectors."""
    raise UsageError("A booster predicts targets, but embedders need a teacher that gives vectors.")


def fits_port(port: Port, spec: OutputSpec) -> bool:
    """Floats (B, D)."""
    return port.holds(spec.width)


def fit(
    name: str,
    settings: Mapping[str, Any],
    inputs: NDArray[Any],
    targets: NDArray[Any],
    weights: NDArray[np.float64] | None,
    seed: int,
) -> Any:
    """Refuse: no embedder is fitted here."""
    raise UsageError(
        f"[teacher] name = {name!r} predicts labels. Embedders are distilled from a pretrained embedder: "
        '`[teacher] hub = "sentence-transformers/all-MiniLM-L6-v2"`, with `tune = "none"`.'
    )


def predict(model: Any, inputs: NDArray[Any], spec: OutputSpec) -> NDArray[np.float32]:
    """Refuse: ``fit`` gives no model."""
    raise UsageError("No embedder is fitted here.")


def join(members: Sequence[Outputs], weights: Tensor, how: str, targets: Tensor) -> Outputs:
    """Refuse: coordinates of different embedders have nothing in common."""
    raise UsageError("Embedders cannot be joined: their coordinates have nothing in common. Give one teacher.")


def hub_net(model: Any, names: Sequence[str], tune: str, seed: int) -> nn.Module:
    """A sentence model, unchanged, in eval mode."""
    from stillhouse.teachers.hub.loading import hub_embedder

    if tune != "none":
        raise UsageError('Embedders are distilled from a pretrained embedder. Write `[teacher] tune = "none"`.')
    return hub_embedder(model).eval()
