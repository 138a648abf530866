"""Any ``nn.Module`` as a teacher."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from itertools import chain
from typing import Any, Literal, cast

import numpy as np
import torch
import xxhash
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from stillhouse.errors import RejectedError, StillhouseError
from stillhouse.memory import in_halves, ran_out
from stillhouse.memory_format import channels_last
from stillhouse.taps import Taps, tensors
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.protocol import Read
from stillhouse.teachers.stored import FEATURE
from stillhouse.types import Batch, Outputs, Spec, count_bytes, count_parameters, evaluating, in_eval, logits_of


class ModuleTeacher:
    """A neural teacher in inference mode; nothing it does leaves a graph or moves its statistics.

    Args:
        module: from inputs to outputs, in a form that the task reads; put into eval mode and kept there. One whose
            weights are float64 or of half precision is copied to float32; see ``taking_float32``. What answers in
            another form is wrapped in ``Adapted``.
        task: of the run.
        spec: of the outputs.
        layers: tap paths whose outputs go along as features, but for the one as which the output itself is stored.
        precision: "bf16-mixed" multiplies in bfloat16; outputs are float32 all the same.
        kind: what it answers, one of ``task.teachers.kinds``; None: decided by its first answers.
        identity: hash of all that determines the answers; None: that of its structure and weights.
        device: where it computes; a module that lies elsewhere is copied there, and is not moved itself. None: where
            the module and its inputs are.

    Raises:
        UsageError: a layer does not exist (on construction).
        RejectedError: the module fails, or its outputs are of another shape or kind (on a batch).
    """

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        spec: OutputSpec,
        layers: Iterable[str] = (),
        precision: Literal["32-true", "bf16-mixed"] = "32-true",
        *,
        kind: str | None = None,
        identity: str | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.module, self.device = in_eval(as_float32(module)), device
        self._net = self.module if device is None else on_device(self.module, device)
        self.identity = identity
        self.task, self.spec = task, spec
        self.shape = spec.shape
        self.layers = tuple(path for path in layers if FEATURE + path != task.stored)
        self.taps = Taps(self._net, self.layers)
        self.precision = precision
        self.read: Read = task.teachers.read_module(spec, kind)
        self._modules = list(self._net.modules())
        self._placed = False

    @property
    def parameters(self) -> int:
        """Number of learned scalars."""
        return count_parameters(self.module)

    @property
    def nbytes(self) -> int:
        """Bytes of parameters and buffers as they are stored."""
        return count_bytes(self.module)

    @torch.inference_mode()
    def outputs(self, batch: Batch) -> Outputs:
        """Values float32 (B, *shape) and the tapped features, detached; in halves where memory does not suffice."""
        parts = in_halves(
            lambda start, stop: self._outputs(batch.inputs[start:stop], batch.rows[start:stop]), 0, len(batch.rows)
        )
        if len(parts) == 1:
            return parts[0]
        features = {path: torch.cat([part.features[path] for part in parts]) for path in parts[0].features}
        return Outputs(torch.cat([part.values for part in parts]), features)

    def _outputs(self, given: Tensor, rows: Tensor) -> Outputs:
        # A wrapper's `.train()` may have woken dropout and batch statistics since the last call.
        if any(module.training for module in self._modules):
            in_eval(self._net)
        inputs, home = given, given.device
        if self.device is not None and self.device.type != home.type:
            inputs = inputs.to(self.device)
        if not self._placed:
            with torch.inference_mode(False):  # else its weights could never be trained again
                channels_last(self._net, inputs)
            self._placed = True
        half, where = self.precision == "bf16-mixed", inputs.device.type
        # Entering a context takes a fourth of a small net's time, so none is entered that changes nothing.
        with torch.autocast(where, torch.bfloat16, half) if half or torch.is_autocast_enabled(where) else nullcontext():
            # A module of the user's may write into its inputs.
            own = inputs.clone() if self.identity is not None and inputs is given else inputs
            returned = answer_of(self._net, own, "The teacher")
        if inputs is not given:
            returned = tree_map(lambda part: part.to(home) if isinstance(part, Tensor) else part, returned)
        values = self.read(returned, rows.cpu().numpy()).values.to(home)
        return Outputs(values, {path: value.float().to(home) for path, value in self.taps.take().items()})

    def fingerprint(self) -> str:
        """Its identity, or the hash of the structure, the names and the bits of all weights and buffers."""
        if self.identity is not None:
            return self.identity
        digest = xxhash.xxh3_128(repr(self.module).encode())
        for name, tensor in self.module.state_dict().items():
            digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(
                tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
                if tensor.ndim
                else str(tensor.item()).encode()
            )
        return digest.hexdigest()


def copied(module: nn.Module) -> nn.Module:
    """A deep copy. Results of its last forward that it keeps are cut from their graph, which torch does not copy."""
    kept = [t for part in module.modules() for value in vars(part).values() for t in tensors(value) if not t.is_leaf]
    known: dict[int, Any] = {id(tensor): tensor.detach().clone() for tensor in kept}
    unfilled: Any = nn.UninitializedBuffer  # torch does not copy it either
    known |= {id(b): unfilled(device=b.device, dtype=b.dtype) for b in module.buffers() if nn.parameter.is_lazy(b)}
    return copy.deepcopy(module, known)


def as_float32(module: nn.Module) -> nn.Module:
    """The module itself; a copy in float32 where all its weights have one other precision, which it needs not."""
    if any(isinstance(hook, Casting) for hook in module._forward_pre_hooks.values()):
        return module
    found = {p.dtype for p in module.parameters() if p.is_floating_point()}
    return copied(module).float() if len(found) == 1 and torch.float32 not in found else module


def taking_float32(module: nn.Module, inputs: Tensor) -> nn.Module:
    """A module that answers float32 inputs: itself, or a copy in float32, or a copy that casts them to its own type.

    Args:
        module: the user's own; some of its parts may compute in another precision only.
        inputs: (B, ...), of which two rows are asked about where there are such parts.
    """
    refuse_empty(module, "The teacher")
    plain = as_float32(module)
    parts = [*module.parameters(), *module.buffers(), *(t for one in module.modules() for t in tensors(vars(one)))]
    others = {t.dtype: None for t in parts if t.is_floating_point() and t.dtype != torch.float32}
    if not others or not inputs.is_floating_point():
        return plain
    for net in (plain, *(casting(copied(module), dtype) for dtype in others)):
        try:
            with evaluating(net), torch.no_grad():
                answer_of(net, inputs[:2].to(parts[0].device, copy=True), "The teacher")
        except RejectedError:
            continue
        return net
    return plain


def refuse_empty(module: nn.Module, who: str) -> None:
    """Refuse a module whose weights have shapes and no numbers."""
    empty = [name for name, held in chain(module.named_parameters(), module.named_buffers()) if held.is_meta]
    if empty:
        raise RejectedError(
            f"{who}'s weights are on the device 'meta', such as {empty[0]!r}: they have shapes and no numbers. Give "
            "it its weights first: `module.to_empty(device='cpu')`, then `module.load_state_dict(...)`."
        )


class Casting:
    """A hook that casts the inputs of a module to the only type that it takes."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, the first of which are the inputs."""
        return (args[0].to(self.dtype), *args[1:])


def casting(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A module whose inputs are cast, changed in place."""
    module.register_forward_pre_hook(Casting(dtype))
    return module


def on_device(module: nn.Module, device: torch.device) -> nn.Module:
    """The module, or a copy of it on a device where it lies on another; a module without tensors stays."""
    held = next(chain(module.parameters(), module.buffers()), None)
    return module if held is None or held.device.type == device.type else copied(module).to(device)


class Adapted(nn.Module):
    """A module whose outputs are not where they are looked for.

    >>> big = Adapted(nn.Linear(4, 3), lambda answer: {"scores": answer}["scores"])
    >>> big(torch.zeros(2, 4)).shape
    torch.Size([2, 3])

    Args:
        module: the user's own; its layers keep their names behind ``module.``.
        pick: from what it returns to its outputs (B, ...).
    """

    def __init__(self, module: nn.Module, pick: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.module, self.pick = module, pick

    def forward(self, inputs: Tensor) -> Tensor:
        """What ``pick`` finds in the module's answer."""
        return self.pick(self.module(inputs))


def output_of(module: nn.Module, inputs: Tensor, who: str) -> Tensor:
    """The outputs of a module for inputs (B, ...), float32 of any shape; errors as those of ``answer_of``."""
    return cast(Tensor, answer_of(module, inputs, who, named=False)).float()


def answer_of(module: nn.Module, inputs: Tensor, who: str, *, named: bool = True) -> Any:
    """What a module returns for inputs (B, ...).

    Args:
        module: the user's own, which may do anything.
        inputs: (B, ...).
        who: what to call the module in an error.
        named: whether a mapping from names to columns (B,) is an answer.

    Raises:
        RejectedError: it fails on the inputs, or returns no tensor.
    """
    try:
        returned = module(inputs)
        if named and isinstance(returned, Mapping) and all(np.ndim(column) == 1 for column in returned.values()):
            return returned
        return logits_of(returned)
    except StillhouseError:
        raise
    except Exception as error:
        if ran_out(error):
            raise
        raise RejectedError(
            f"{who} failed on inputs of shape {tuple(inputs.shape)} ({inputs.dtype}): {type(error).__name__}: {error}. "
            "Give a module that takes such a batch and returns a tensor with one row for each input, or wrap it: "
            "`stillhouse.Adapted(module, lambda answer: ...)`."
        ) from error


def spec_of(outputs: Outputs, *, rows: int = 0, head: nn.Module | None = None, classifier: str | None = None) -> Spec:
    """The shapes of a net, read off its outputs for one batch."""
    shapes = {path: tuple(value.shape[1:]) for path, value in outputs.features.items()}
    return Spec(outputs.values.shape[-1], shapes, rows, head, classifier)
