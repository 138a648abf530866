"""A store's rows as a teacher's outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stillhouse.errors import UsageError
from stillhouse.store import Dense, Field, Hidden, Sampled, ShapedTail, Store, TopK, codec
from stillhouse.task import Task
from stillhouse.teachers.ensemble import DISAGREEMENT, row_weights
from stillhouse.types import Batch, Outputs, Sparse

FEATURE = "feature:"  # prefix of the stored tapped layers
KEPT = "codec"  # the part of a store's key that says how its outputs are kept
FIELD = "outputs"  # the part that names their field; left out where it is the logits of classes
CLASSES = "classes"  # the part with the shape of the logits: classes, of tokens behind the length of a row
SOFTENED = "temperature"  # the part that says at which temperature classes were left out
HEAD = "head"  # the part with the hash of the teacher's output layer, where hidden states are kept
LOGITS = "logits"
SMALLEST = 1e-30  # stands for a probability of 0 inside the logarithm
DTYPES = ("float32", "float16", "bfloat16")

Codec = Dense | TopK | Sampled | ShapedTail | Hidden


def make_codec(name: str, dtype: str, task: Task) -> Codec:
    """A codec by name, such as "dense" or "topk:32:float16", for the outputs of a task.

    ``dtype`` ("float32", "float16" or "bfloat16") is used where the name does not end in a format.

    Raises:
        UsageError: no such codec or format; or it keeps some classes, and the outputs are not logits of classes.
    """
    made = codec(name)
    if isinstance(made, Hidden):
        if not task.streamed:
            raise UsageError(
                f"[store] codec = {name!r} keeps what a language model computes before its output layer, and the task "
                f'{task.name} has other teachers. Write `[store] codec = "dense"`.'
            )
        return made
    made = made if name.rpartition(":")[2] in DTYPES else replace(made, dtype=dtype)
    if isinstance(made, Dense):
        return replace(made, field=task.stored, shift=task.shift_invariant)
    if not task.shift_invariant:
        raise UsageError(
            f"[store] codec = {name!r} keeps some classes of a row by their probabilities, and the outputs of the task "
            f'{task.name} are not probabilities of which one class is right. Write `[store] codec = "dense"`.'
        )
    return made


def of_teacher(codec: Codec, teacher: Any) -> Codec:
    """A codec that knows how wide the teacher's hidden states are, where it keeps those.

    Raises:
        UsageError: the teacher shows none.
    """
    if not isinstance(codec, Hidden):
        return codec
    width = getattr(teacher, "width", None)
    if width is None:
        raise UsageError(
            f"[store] codec = {codec.name!r} keeps hidden states, and this teacher shows none. Write "
            '`[store] codec = "topk:32"`.'
        )
    return replace(codec, width=width)


class StoredTeacher:
    """Answers from a store, the same as the live teacher's but for the classes that a codec left out.

    Args:
        store: of the answers.
        scale: of ``row_weights`` by the teachers' disagreement; 0, or a single teacher: every row counts in full.
        calibration: the temperature by which dense outputs are divided.
        head: from hidden states (B, T, D) to logits, of the teacher; needed where the store keeps hidden states.
    """

    def __init__(
        self,
        store: Store,
        scale: float = 0.0,
        calibration: float = 1.0,
        head: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.store, self.scale, self.calibration, self.head = store, scale, calibration, head
        parts = store.key.parts
        made = codec(parts[KEPT])
        if isinstance(made, Dense):
            made = replace(made, field=parts.get(FIELD, LOGITS), shift=CLASSES in parts)
            self.shape: tuple[int, ...] = next(field.shape for field in store.fields if field.name == made.field)
        else:
            self.shape = tuple(map(int, parts[CLASSES].split()))
        self.codec: Codec = made
        self.temperature = float(parts.get(SOFTENED, "1"))

    @property
    def dense(self) -> bool:
        """Whether all of a row's outputs are kept."""
        return isinstance(self.codec, Dense | Hidden)

    def outputs(self, batch: Batch) -> Outputs:
        """Stored values float32 (B, *shape), or listed classes, and features of these rows and views."""
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
            values = torch.from_numpy(self.codec.decode(found)).to(device)
            values = values if self.calibration == 1.0 else values / self.calibration
            return Outputs(values, features, weights=weights)
        if isinstance(self.codec, Hidden):
            if self.head is None:
                raise UsageError("This store keeps hidden states: give the teacher's output layer as `head`.")
            return Outputs(self.head(torch.from_numpy(found["hidden"]).to(device)), features, weights=weights)
        # NaN, so that a method that does not read ``sparse`` cannot take unknown logits for an answer.
        unknown = torch.full((), torch.nan, device=device).expand(len(batch.rows), *self.shape)
        return Outputs(unknown, features, self.sparse(found, device), weights)

    def whole(self, batch: Batch) -> Tensor:
        """Outputs float64 (B, *shape) without gaps, for people to read, not for training.

        Logits become log-probabilities at temperature 1; the mass of classes that were left out is spread evenly.
        """
        if isinstance(self.codec, Dense):
            values = self.outputs(batch).values.double()
            return values.log_softmax(-1) if self.codec.shift else values
        if isinstance(self.codec, Hidden):
            return self.outputs(batch).values.double().log_softmax(-1)
        found = self.store.read(batch.rows.numpy(), batch.views.numpy())
        even = np.full((len(batch.rows), *self.shape), 1.0 / self.shape[0])
        softened = torch.from_numpy(np.asarray(self.codec.target(found, even), dtype=np.float64))
        return (self.temperature * softened.clamp(min=SMALLEST).log()).log_softmax(-1)

    def sparse(self, found: dict[str, Any], device: torch.device) -> Sparse:
        """The listed classes of these rows; all draws of a sample together."""
        indices = torch.from_numpy(found["indices"].astype(np.int64)).to(device)
        if isinstance(self.codec, Sampled):
            weights: Tensor = torch.from_numpy(found["log_weights"]).to(device) - float(np.log(indices.shape[-2]))
            return Sparse(indices.flatten(-2), weights.flatten(-2), None, self.temperature)
        log_probs, shape = torch.from_numpy(found["log_probs"]).to(device), None
        if isinstance(self.codec, ShapedTail):
            shape = torch.from_numpy(self.codec.shape_of_tail(found, self.shape[-1])).to(device)
        return Sparse(indices, log_probs[..., :-1], log_probs[..., -1], self.temperature, shape)


def key_parts(codec: Codec, shape: tuple[int, ...]) -> dict[str, str]:
    """What a store's key says of the outputs and how they are kept."""
    parts = {KEPT: codec.name}
    if not isinstance(codec, Dense) or codec.shift:
        parts[CLASSES] = " ".join(map(str, shape))
    if isinstance(codec, Dense) and codec.field != LOGITS:
        parts[FIELD] = codec.field
    return parts


def fields_of(codec: Codec, shape: tuple[int, ...], features: dict[str, tuple[int, ...]], dtype: str) -> list[Field]:
    """What is kept of each row and view; outputs that are a feature too are kept once."""
    own = codec.fields(*shape)
    names = {field.name for field in own}
    return own + [Field(FEATURE + path, kept, dtype) for path, kept in features.items() if FEATURE + path not in names]


def encoded(codec: Codec, values: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """What a codec keeps of outputs (N, ...); whole rows stay as they are, since they can be softened later."""
    return codec.encode(values if isinstance(codec, Dense | Hidden) else values / temperature)


def packed(codec: TopK | ShapedTail, listed: Sparse) -> dict[str, np.ndarray]:
    """What a codec keeps of a teacher that lists classes itself (N, ..., k), softened already."""
    assert listed.log_tail is not None
    indices, log_probs, tail = (part.numpy() for part in (listed.indices, listed.log_probs, listed.log_tail))
    if isinstance(codec, TopK):
        return codec.pack(indices, log_probs, tail)
    assert listed.tail_shape is not None
    return codec.pack(indices, log_probs, tail, listed.tail_shape.numpy())
