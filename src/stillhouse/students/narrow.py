"""Groups of units, and how they are cut out of every weight that writes or reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Slot(NamedTuple):
    """An axis of a parameter or buffer that holds the units of a group, each as the same number of neighbours."""

    module: str  # path
    name: str  # of the parameter or buffer
    dim: int
    reads: bool = False  # whether the units are this module's input


@dataclass
class Group:
    """Units that can only be taken out together: channels joined by a residual, the rows of an attention head."""

    name: str
    units: int
    slots: list[Slot] = field(default_factory=list)


def cut(net: nn.Module, group: Group, kept: Tensor) -> None:
    """Keep some units of a group, in place; modules learn their new sizes, tied weights stay tied.

    Args:
        net: holds the group.
        group: where its units lie.
        kept: int64 (k,), ascending numbers of units.
    """
    done: set[tuple[int, int]] = set()
    for slot in group.slots:
        module = net.get_submodule(slot.module)
        tensor: Tensor = getattr(module, slot.name)
        if (id(tensor), slot.dim) in done:
            continue
        width = tensor.shape[slot.dim] // group.units
        index = (kept[:, None] * width + torch.arange(width)).flatten().to(tensor.device)
        sliced = tensor.detach().index_select(slot.dim, index).contiguous()
        if isinstance(tensor, nn.Parameter):
            tensor.grad = None
            tensor.data = sliced  # the parameter object stays, so modules that share it still share it
        else:
            setattr(module, slot.name, sliced)
        done.add((id(tensor), slot.dim))
    for path in {slot.module for slot in group.slots}:
        resize(net.get_submodule(path))


def resize(module: nn.Module) -> None:
    """Set the sizes that a module stores to those of its weights."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, CONVOLUTIONS):
        if module.groups > 1:  # depthwise: the only grouped form that is ever cut
            module.groups = module.weight.shape[0]
        module.out_channels, module.in_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, BATCH_NORMS):
        module.num_features = next(t for t in (module.weight, module.running_mean) if t is not None).shape[0]
    elif isinstance(module, nn.LayerNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape


def magnitude(net: nn.Module, group: Group) -> Tensor:
    """Importance of units by the size of their weights alone (Li et al. 2017, arXiv:1608.08710).

    Returns:
        float64 (units,): for each unit its share of the sum of absolute values, added over all matrices it is in.
    """
    score = torch.zeros(group.units, dtype=torch.float64)
    for slot in group.slots:
        tensor = getattr(net.get_submodule(slot.module), slot.name)
        if tensor.ndim > 1:
            rows = tensor.detach().double().cpu().abs().movedim(slot.dim, 0).reshape(group.units, -1).sum(1)
            score += rows / rows.sum().clamp_min(torch.finfo(torch.float64).tiny)
    return score


def best(scores: Tensor, count: int) -> Tensor:
    """Numbers of the units with the highest scores, ascending; of equal ones the first."""
    return scores.argsort(descending=True, stable=True)[:count].sort().values
