"""A language model's vocabulary cut by frequency: the ids in use stay, one more class stands for all others."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.narrow import resize
from stillhouse.students.stacks import configs
from stillhouse.students.vocabulary_cut import SIZES, SPECIAL


class Kept(NamedTuple):
    """The ids that stay, and what the others weigh."""

    ids: Tensor  # int64 (k,), ascending ids of the teacher
    counts: Tensor  # float64 (V,), how often each id of the teacher is in the user's texts

    @property
    def table(self) -> Tensor:
        """Int64 (V,): the student's id of each id of the teacher; k, the rest class, for those that are dropped."""
        table = torch.full((len(self.counts),), len(self.ids))
        table[self.ids] = torch.arange(len(self.ids))
        return table


def most_frequent(counts: Tensor, size: int, always: Tensor | None = None) -> Kept:
    """Choose the ids that stay: the most frequent ones, of equally frequent ones the lowest.

    Args:
        counts: (V,), how often each id is in the user's training texts.
        size: ids that stay, the rest class not counted.
        always: int64, ids that stay whatever their count is: special tokens.

    Raises:
        UsageError: no id would be left out, or there is no place for the special ones.

    Example:
        >>> kept = most_frequent(torch.tensor([0, 5, 1, 9]), 2)
        >>> kept.ids.tolist(), kept.table.tolist()
        ([1, 3], [2, 0, 2, 1])
    """
    counts = counts.double().cpu()
    chosen = torch.zeros(len(counts), dtype=torch.bool)
    if always is not None:
        chosen[always.cpu()] = True
    least = max(1, int(chosen.sum()))
    if not least <= size < len(counts):
        raise UsageError(
            f"vocabulary = {size} of {len(counts):,} ids: between {least} (the special tokens) and {len(counts) - 1} "
            f"can stay. Write vocabulary = {max(least, min(8192, len(counts) // 2))}, or leave it out to keep all."
        )
    order = torch.where(chosen, torch.inf, counts).argsort(descending=True, stable=True)
    return Kept(order[:size].sort().values, counts)


def cut_with_rest(model: nn.Module, kept: Kept) -> None:
    """Keep the embeddings and output rows of some ids and add one of the rest, in place; tied weights stay tied.

    The row of the rest is the mean of the dropped rows, weighted by how often their ids are in the user's texts.

    Args:
        model: causal model of transformers with V ids; afterwards it has k + 1, the last is the rest.
        kept: k of them.

    Raises:
        UsageError: a part of the model that holds a row an id cannot be cut.
    """
    net: Any = model
    total, table = len(kept.counts), kept.table
    inputs, outputs = net.get_input_embeddings(), net.get_output_embeddings()
    _check(model, [inputs, outputs], total)
    dropped = table == len(kept.ids)
    weights = torch.where(dropped, kept.counts, 0.0)
    weights = weights if weights.sum() > 0 else dropped.double()
    done: set[int] = set()
    for module in (inputs, outputs):
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in done:
                _cut_rows(parameter, kept.ids, weights / weights.sum())
                done.add(id(parameter))
        resize(module)
    if inputs.padding_idx is not None:
        inputs.padding_idx = int(table[inputs.padding_idx])
    for holder in (*model.modules(), *configs(model)):
        for name in SIZES:
            if getattr(holder, name, None) == total:
                setattr(holder, name, len(kept.ids) + 1)
    for holder in (*configs(model), *_generating(model)):
        translate(holder, table)
    for config in _generating(model):  # the rest is no token that could be written
        config.suppress_tokens = [len(kept.ids)]


def special_ids(model: nn.Module, total: int) -> Tensor:
    """Int64, ascending: the ids below ``total`` that a model's configurations name: start, end, padding and others."""
    found: set[int] = set()
    for holder in (*configs(model), *_generating(model)):
        for name in SPECIAL:
            value = getattr(holder, name, None)
            found |= {
                i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int) and 0 <= i < total
            }
    return torch.tensor(sorted(found), dtype=torch.int64)


def translate(config: Any, table: Tensor) -> None:
    """Renumber the special ids of a configuration, in place.

    Args:
        config: with attributes such as ``eos_token_id``: a number, a list of them, or None.
        table: int64 (V,), the new number of each id.
    """
    for name in SPECIAL:
        value = getattr(config, name, None)
        if isinstance(value, list):
            setattr(config, name, [int(table[i]) for i in value if 0 <= i < len(table)])
        elif isinstance(value, int) and 0 <= value < len(table):
            setattr(config, name, int(table[value]))


def _cut_rows(parameter: nn.Parameter, kept: Tensor, weights: Tensor) -> None:
    values = parameter.detach()
    rest = torch.tensordot(weights.to(values.device), values.double(), dims=1).to(values.dtype)
    parameter.grad = None
    parameter.data = torch.cat([values[kept.to(values.device)], rest[None]])


def _check(model: nn.Module, ends: list[Any], total: int) -> None:
    name = type(model).__name__
    if any(end is None or len(end.weight) != total for end in ends):
        raise UsageError(
            f"vocabulary: {name} has no output layer with the {total:,} ids of its embedding, so its vocabulary cannot "
            "be cut. Leave vocabulary out."
        )
    mine = {id(p) for end in ends for p in end.parameters(recurse=False)}
    other = [
        path
        for path, m in model.named_modules()
        if isinstance(m, nn.Embedding) and m.num_embeddings == total and id(m.weight) not in mine
    ]
    if other:
        raise UsageError(
            f"vocabulary: {name} also holds a row for each of its {total:,} ids in {other[0]}, which cannot be cut. "
            "Leave vocabulary out."
        )


def _generating(model: nn.Module) -> list[Any]:
    config = getattr(model, "generation_config", None)
    return [] if config is None else [config]
