"""The temperature of a student's confidence, fitted to validation rows and built into the weights that ship.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Outputs divided by a positive number keep their
order: no prediction changes, only how sure it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stillhouse.data import Rows
from stillhouse.engine import tensor_state
from stillhouse.errors import UsageError
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.students.trees import TreeEnsemble
from stillhouse.taps import classifier_path, unwrap
from stillhouse.task import Task
from stillhouse.types import has_label, in_eval, logits_of

CARD = "calibration.json"  # in the folder of a fit
LEAST_ROWS = 30  # with a label: fewer tell too little
PROBED = 64  # rows on which the new weights are compared with the old ones
CLOSE = 1e-4  # of outputs, absolute and relative


class Calibrated(NamedTuple):
    """The weights of a student, its confidence fitted."""

    weights: dict[str, Tensor]
    card: dict[str, Any]  # ``temperature``, ``rows``, ``tempered`` (whether the weights are those of ``Tempered``)


class Tempered(nn.Module):
    """A net whose outputs are divided by a temperature: for nets without a last linear layer.

    Args:
        net: answers outputs (B, ...).
    """

    temperature: Tensor  # float32, above 0

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("temperature", torch.ones(()))

    @property
    def size(self) -> Any:
        """That of the net, where it has one."""
        return getattr(self.net, "size", None)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (B, ...)."""
        return logits_of(self.net(inputs)) / self.temperature


def calibrate(net: nn.Module, task: Task, valid: Rows) -> Calibrated | None:
    """Fit the temperature of a trained net; None where there is nothing to fit it to, or the task has no confidence.

    Args:
        net: on the CPU; it stays as it is.
        task: says how the temperature is fitted.
        valid: validation rows; rows without a label and rows of weight 0 do not count.
    """
    kept = has_label(valid.targets)
    if valid.weights is not None:
        kept &= valid.weights > 0
    if int(kept.sum()) < LEAST_ROWS:
        return None
    weights = None if valid.weights is None else valid.weights[kept]
    inputs = valid.inputs[kept]
    found = task.temperature(torch.from_numpy(net_outputs(in_eval(net), inputs, task)), valid.targets[kept], weights)
    if found is None:
        return None
    state = divided(net, found, inputs[:PROBED])
    card = {"temperature": found, "rows": int(kept.sum()), "tempered": state is None}
    return Calibrated(state or wrapped(net, found), card)


def divided(net: nn.Module, temperature: float, inputs: Tensor) -> dict[str, Tensor] | None:
    """The state of a net whose outputs are divided by a temperature, in the place where that costs nothing.

    That is the last linear layer, or the values of the leaves of trees. None where there is no such place, or where
    something behind it, or something that shares its weights, changes what comes out.
    """
    names = scaled_names(net, inputs)
    state = dict(tensor_state(net))
    if not names or not all(name in state and state[name].dtype == torch.float32 for name in names):
        return None
    places = [tensor.data_ptr() for tensor in state.values()]
    if any(places.count(state[name].data_ptr()) > 1 for name in names if state[name].numel()):  # tied weights
        return None
    state |= {name: state[name].detach() / temperature for name in names}
    with torch.no_grad():
        wanted, found = (logits_of(net(inputs)) / temperature, logits_of(functional_call(net, state, (inputs,))))
    return state if torch.allclose(found, wanted, rtol=CLOSE, atol=CLOSE) else None


def scaled_names(net: nn.Module, inputs: Tensor) -> list[str]:
    """The tensors of a net's state to which its outputs are proportional; none where they are not known."""
    if isinstance(net, TreeEnsemble):
        return ["value", "base"]
    try:
        path = classifier_path(net, inputs)
    except UsageError:
        return []
    layer = unwrap(net).get_submodule(path)
    names = {id(tensor): name for name, tensor in net.named_parameters()}
    return [names.get(id(part), "") for part in (layer.weight, layer.bias) if isinstance(part, Tensor)]


def wrapped(net: nn.Module, temperature: float) -> dict[str, Tensor]:
    """The state of ``Tempered(net)`` with a temperature."""
    return {f"net.{name}": tensor for name, tensor in tensor_state(net).items()} | {
        "temperature": torch.tensor(temperature)
    }
