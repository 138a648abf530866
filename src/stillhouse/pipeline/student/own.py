"""The user's own student: copied for every fit, made to fit what a run gives it, and tried before any training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from stillhouse.engine import tensor_state
from stillhouse.errors import RejectedError, StillhouseError, UsageError
from stillhouse.pipeline.run.user_code import apart
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers import copied, output_of, refuse_empty
from stillhouse.types import evaluating, logits_of

NetMaker = Callable[[], nn.Module]
ALONE = 4  # rows that are asked about one by one
CURE = "Pass a function that builds it instead, weights included: `student=lambda: make_my_student()`."


def own_student(student: Any) -> NetMaker:
    """A module is copied as it is for every seed and arm (its weights may be pretrained); a function builds again.

    Nets that a function builds share no weights with each other: see ``apart``.
    """
    if isinstance(student, nn.Module):
        return lambda: copy_of(student)
    if callable(student):
        return lambda: apart(student, "student")
    raise UsageError(
        f"student must be an nn.Module or a function that makes one, not {type(student).__name__}. A net of the zoo is "
        'given by its name: `distill(student="mlp_tiny", ...)`.'
    )


def copy_of(net: nn.Module) -> nn.Module:
    """A copy of a student, for a seed and control.

    Raises:
        UsageError: it holds what cannot be copied.
    """
    try:
        return copied(net)
    except Exception as error:
        raise UsageError(
            f"The student {type(net).__name__} cannot be copied for each seed and control ({type(error).__name__}: "
            f"{error}). {CURE}"
        ) from error


@dataclass(frozen=True)
class Preparation:
    """What a run does to a student of the user's, so that it takes and gives what every net does.

    ``Preparation.found`` finds it by asking the student about a few rows.
    """

    first: bool = False  # a first forward makes (some of) its weights
    dtype: torch.dtype | None = None  # of the inputs it takes; None: float32
    copies: bool = False  # it writes into its inputs, and gets a copy of them
    whole: Callable[[Tensor], Tensor] | None = None  # its outputs in full; None: they are in full, float32

    @classmethod
    def found(cls, make: NetMaker, rows: Tensor, task: Task, width: int) -> Preparation:
        """Find what a student needs; ``width`` is that of the outputs.

        Raises:
            RejectedError: it fails on the rows.
        """
        net = make()
        refuse_empty(net, "The student")
        net = single(net)
        before = known_weights(net)
        asked, dtype = rows.clone(), None
        with evaluating(net), torch.no_grad():
            try:
                values = logits_of(net(asked))
            except Exception:
                types = {p.dtype for p in net.parameters() if p.is_floating_point()} - {torch.float32}
                dtype = next(iter(types), None) if rows.is_floating_point() else None
                output_of(net, rows.to(dtype, copy=True), "The student")  # in this type it answers, or says why not
                values = logits_of(net(rows.to(dtype, copy=True)))
        whole = partial(task.whole_outputs, width=width)
        changed = dtype is not None or values.dtype != torch.float32 or whole(values).shape != values.shape
        return cls(
            first=known_weights(net) != before,
            dtype=dtype,
            copies=dtype is None and not torch.equal(asked, rows),
            whole=whole if changed else None,
        )

    def of(self, net: nn.Module, rows: Tensor) -> nn.Module:
        """A student, prepared in place."""
        net = single(net)
        if self.dtype is not None or self.copies:
            net.register_forward_pre_hook(self.takes)
        if self.whole is not None:
            net.register_forward_hook(self.gives)
        if self.first:
            with evaluating(net), torch.no_grad():
                net(rows[:2].clone())
        return net

    def takes(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The inputs as the student takes them."""
        return (args[0].to(self.dtype, copy=True) if self.dtype is not None else args[0].clone(), *args[1:])

    def gives(self, module: nn.Module, args: tuple[Any, ...], returned: Any) -> Tensor:
        """The outputs float32 (B, outputs)."""
        values, whole = logits_of(returned).float(), self.whole
        return values if whole is None else whole(values.flatten() if values.ndim < 2 else values)


def single(net: nn.Module) -> nn.Module:
    """A net in float32 where its weights have half precision, in which a step of training is lost in rounding."""
    half = any(p.dtype in (torch.float16, torch.bfloat16) for p in net.parameters())
    return net.float() if half else net


def known_weights(net: nn.Module) -> set[str]:
    """The names of the weights that a net has already."""
    return {name for name, value in net.state_dict().items() if not nn.parameter.is_lazy(value)}


def tried(make: NetMaker, given: Any, rows: Tensor, task: Task, spec: OutputSpec, batch_size: int) -> NetMaker:
    """Do with the user's own student all that a run does, so that an error is raised before any training.

    Args:
        make: makes one.
        given: what came from Python: a module that was copied, or anything else.
        rows: encoded inputs (B, ...).
        task: of the run.
        spec: of the outputs.
        batch_size: of a step.

    Returns:
        What makes one, prepared.

    Raises:
        RejectedError: it fails, answers in another form than the task's, or differently beside other rows.
        UsageError: its weights cannot be stored and loaded again.
    """
    prepare = Preparation.found(make, rows, task, spec.width)

    def prepared() -> nn.Module:
        return prepare.of(make(), rows)

    net = prepared()
    with evaluating(net), torch.random.fork_rng(devices=[]):
        together = output_of(net, rows, "The student")
        _each(together, len(rows))
        task.check_student(together, spec)  # which may look into its graph
        together = together.detach()
        with torch.no_grad():
            again = output_of(net, rows, "The student")
            alone = [output_of(net, one, "The student, asked about one row,") for one in torch.split(rows[:ALONE], 1)]
    for one in alone:
        _each(one, 1)
        task.check_student(one, spec)
    _hold("twice", task, together, again)
    _hold("alone and beside other rows", task, together[: len(alone)], torch.cat(alone))
    with torch.random.fork_rng(devices=[]):
        _train(prepared, given, rows, spec, batch_size)
    _store(prepared)
    return prepared


def _each(outputs: Tensor, rows: int) -> None:
    """Refuse outputs that are not one for each row, or not finite."""
    if not outputs.ndim or len(outputs) != rows:
        raise RejectedError(
            f"The student answers {tuple(outputs.shape)} to {rows} rows. It must answer one row of outputs for each "
            "row, rows first."
        )
    bad = (~outputs.isfinite().reshape(rows, -1).all(1)).nonzero().flatten()
    if len(bad):
        raise RejectedError(
            f"The student's answers are not finite (NaN or infinity) for {len(bad)} of {rows} rows, the first of which "
            f"is training row {int(bad[0])}. Look for divisions, logarithms and roots in its forward."
        )


def _hold(how: str, task: Task, one: Tensor, other: Tensor) -> None:
    if not task.same_answers(*(task.normalize(answers.detach()).numpy() for answers in (one, other))):
        raise RejectedError(
            f"The student answers the same row differently when it is asked {how}, in eval mode: what is judged would "
            "not be what is used. Let dropout follow the mode (`F.dropout(x, training=self.training)`), keep running "
            "statistics in batch normalisation, and keep nothing from one call to the next."
        )


def _train(make: NetMaker, given: Any, rows: Tensor, spec: OutputSpec, batch_size: int) -> None:
    """Two steps in training mode, without moving a weight."""
    net = make()
    net.train()
    batch = rows[torch.arange(batch_size) % len(rows)]
    own = [p for p in net.parameters() if p.requires_grad]
    original = given.parameters() if isinstance(given, nn.Module) else ()
    others = [p for p in original if p.requires_grad and not nn.parameter.is_lazy(p)]
    if not own:
        raise RejectedError("The student has no weight to train. Give a net with parameters that are not frozen.")
    for _ in range(2):
        values = _trained_on(net, batch)
        if tuple(values.shape) != (batch_size, *spec.shape):
            raise RejectedError(
                f"The student answers {tuple(values.shape)} to {batch_size} rows in training mode, and must answer "
                f"{(batch_size, *spec.shape)} as in eval mode. Return the main output first: `return logits, extra`."
            )
        try:
            found = torch.autograd.grad(values.sum(), [*own, *others], allow_unused=True)
        except RuntimeError as error:
            raise RejectedError(
                f"The student cannot be trained: {error}. Keep the gradient from the weights to the outputs, and "
                "detach what is kept from one call to the next: `self.state = state.detach()`."
            ) from error
    if any(grad is not None for grad in found[len(own) :]):
        raise UsageError(f"A copy of the student still computes with weights of the original. {CURE}")


def _trained_on(net: nn.Module, batch: Tensor) -> Tensor:
    try:
        return output_of(net, batch, "The student, in training mode,")
    except StillhouseError as error:
        if len(batch) > 1:
            raise
        try:
            output_of(net, batch.repeat_interleave(2, 0), "The student")
        except StillhouseError:
            raise error from None
        raise RejectedError(
            f"{error} It takes batches of 2 rows, as batch normalisation does: set `[training] batch_size = 2` or more."
        ) from error


def _store(make: NetMaker) -> None:
    """Write a little of each weight, and load all of them."""
    state = tensor_state(make())
    try:
        safetensors.torch.save({name: value.detach().flatten()[:1].clone() for name, value in state.items()})
        make().load_state_dict(state)
    except Exception as error:
        raise UsageError(
            f"The student's weights cannot be stored and loaded again ({type(error).__name__}: {error}). Keep plain "
            "tensors as parameters and buffers, and let the function build the same layers each time."
        ) from error
