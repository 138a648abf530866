"""A store's rows as a teacher's answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stillhouse.store import Dense, Field, Sampled, Store, TopK, codec
from stillhouse.teachers.ensemble import DISAGREEMENT, row_weights
from stillhouse.types import Batch, Outputs, Sparse

LOGITS = "logits"
FEATURE = "feature:"  # prefix of the stored tapped layers
KEPT = "codec"  # the parts of a store's key that say how its logits are kept
SMALLEST = 1e-30  # stands for a probability of 0 inside the logarithm
SOFTENED, CLASSES = "temperature", "classes"
DTYPES = ("float32", "float16", "bfloat16")

Codec = Dense | TopK | Sampled


def make_codec(name: str, dtype: str) -> Codec:
    """A codec by name, such as "dense" or "topk:32"; ``dtype`` holds where the name does not end in a format.

    Raises:
        UsageError: no such codec or format.

    >>> make_codec("topk:32", "float16").name, make_codec("sampled:50", "float32").name
    ('topk:32:float16', 'sampled:50:1:0:float32')
    """
    made = codec(name)
    return made if name.rpartition(":")[2] in DTYPES else replace(made, dtype=dtype)


class StoredTeacher:
    """The engine cannot tell it from a live one, but for the classes that a codec left out.

    Args:
        store: of its answers.
        scale: rows count ``row_weights`` of their teachers' disagreement at this scale; 0, or a teacher alone: in full.
    """

    def __init__(self, store: Store, scale: float = 0.0) -> None:
        self.store, self.scale = store, scale
        parts = store.key.parts
        self.codec = codec(parts[KEPT])
        self.temperature = float(parts.get(SOFTENED, "1"))
        self.classes = int(parts[CLASSES])

    def outputs(self, batch: Batch) -> Outputs:
        """Stored logits float32 (B, C), or listed classes, and features of these rows and views."""
        found: dict[str, Any] = self.store.read(batch.rows.numpy(), batch.views.numpy())
        device = batch.inputs.device
        features = {
            name.removeprefix(FEATURE): torch.from_numpy(array).to(device)
            for name, array in found.items()
            if name.startswith(FEATURE)
        }
        apart = features.get(DISAGREEMENT)
        weights = row_weights(apart.float(), self.scale) if self.scale and apart is not None else None
        if isinstance(self.codec, Dense):
            return Outputs(torch.from_numpy(found[LOGITS]).to(device), features, weights=weights)
        # Where a method did not look at what is known, what is not known must not pass for an answer.
        unknown = torch.full((), torch.nan, device=device).expand(len(batch.rows), self.classes)
        return Outputs(unknown, features, self.sparse(found, device), weights)

    def log_probs(self, batch: Batch) -> Tensor:
        """Log-probabilities float64 (B, C) at temperature 1; mass whose classes were left out is spread evenly.

        For reading, not for training: methods that can use a part of the classes do so without spreading.
        """
        if isinstance(self.codec, Dense):
            return self.outputs(batch).logits.double().log_softmax(-1)
        found = self.store.read(batch.rows.numpy(), batch.views.numpy())
        even = np.full((len(batch.rows), self.classes), 1.0 / self.classes)
        softened = torch.from_numpy(np.asarray(self.codec.target(found, even), dtype=np.float64))
        return (self.temperature * softened.clamp(min=SMALLEST).log()).log_softmax(-1)

    def sparse(self, found: dict[str, Any], device: torch.device) -> Sparse:
        """The listed classes of these rows; all draws of a sample together."""
        indices = torch.from_numpy(found["indices"].astype(np.int64)).to(device)
        if isinstance(self.codec, Sampled):
            weights: Tensor = torch.from_numpy(found["log_weights"]).to(device) - float(np.log(indices.shape[-2]))
            return Sparse(indices.flatten(-2), weights.flatten(-2), None, self.temperature)
        log_probs = torch.from_numpy(found["log_probs"]).to(device)
        return Sparse(indices, log_probs[..., :-1], log_probs[..., -1], self.temperature)


def fields_of(codec: Codec, classes: int, features: dict[str, tuple[int, ...]], dtype: str) -> list[Field]:
    """What is kept of each row and view."""
    return codec.fields(classes) + [Field(FEATURE + path, shape, dtype) for path, shape in features.items()]


def encoded(codec: Codec, logits: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """What a codec keeps of logits (N, C); whole rows stay as they are, since they can be softened later."""
    return codec.encode(logits if isinstance(codec, Dense) else logits / temperature)
