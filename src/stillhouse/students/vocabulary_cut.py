"""Smaller token embeddings: fewer ids, or a product of two thin matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.narrow import Group, Slot, cut
from stillhouse.students.stacks import configs

SPECIAL = tuple(f"{name}_token_id" for name in ("pad", "bos", "eos", "cls", "sep", "unk", "mask"))
SIZES = ("vocab_size", "vocabulary")  # names of the number of ids in configurations and modules


class Cut(NamedTuple):
    """The old ids and their new numbers."""

    table: Tensor  # int64 (old vocabulary,): the new id, -1 where there is none
    units: int  # new vocabulary


def token_embedding(net: nn.Module) -> str:
    """Path of the embedding of token ids: a Hugging Face model's input embedding, else the one with the most rows.

    Raises:
        UsageError: the net has none; lists its layers.
    """
    tables = [
        (int(m.num_embeddings), p) for p, m in net.named_modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)
    ]
    if not tables:
        kinds = ", ".join(sorted({type(m).__name__ for m in net.modules() if not list(m.children())}))
        raise UsageError(
            f"{type(net).__name__} has no embedding of tokens, so there is no vocabulary to cut or factorise: "
            f"its layers are {kinds}. Leave vocabulary and embedding_rank out."
        )
    models: list[Any] = [m for m in net.modules() if hasattr(m, "get_input_embeddings")]
    named = [m.get_input_embeddings() for m in models[:1]]  # the outermost
    known: list[str] = [path for path, module in net.named_modules() if module in named]
    return known[0] if known else max(tables, key=lambda table: table[0])[1]


def cut_vocabulary(net: nn.Module, used: Tensor) -> Cut:
    """Keep the embeddings of some ids, in place, and the rows of an output layer that is tied to them.

    The ids up to the padding id and the special ids of a Hugging Face configuration always stay, so that padding keeps
    its number. The order of ids stays.

    Args:
        net: with an embedding of tokens.
        used: int64, ids in use; any order, repeated or not.

    Raises:
        UsageError: no embedding of tokens, no id, or one out of range.
    """
    path = token_embedding(net)
    table: Any = net.get_submodule(path)
    rows, padding = int(table.num_embeddings), table.padding_idx
    if used.numel() == 0 or used.is_floating_point() or int(used.min()) < 0 or int(used.max()) >= rows:
        raise UsageError(
            f"vocabulary must be token ids of 0 to {rows - 1}, the rows of {path!r}, at least one; got {used.numel()} "
            f"of type {used.dtype}. Encode the texts with this net's own tokenizer and give `ids.unique()`."
        )
    special = [getattr(config, name, None) for config in configs(net) for name in SPECIAL]
    stays = [*range((padding or 0) + 1), *(i for i in special if isinstance(i, int) and 0 <= i < rows)]
    kept = torch.unique(torch.cat([used.flatten().cpu().long(), torch.tensor(stays)]))
    cut(net, Group("vocabulary", rows, _slots(net, table.weight, rows)), kept)
    new = torch.full((rows,), -1)
    new[kept] = torch.arange(len(kept))
    for holder in (*net.modules(), *configs(net)):
        for name in SIZES:
            if getattr(holder, name, None) == rows:
                setattr(holder, name, len(kept))
    for config in configs(net):
        for name in SPECIAL:
            if isinstance(old := getattr(config, name, None), int) and 0 <= old < rows:
                setattr(config, name, int(new[old]))
    return Cut(new, len(kept))


def factorise(net: nn.Module, rank: int) -> str:
    """Replace the embedding of tokens by (V, r) followed by a linear (r, D), in place (ALBERT, Lan et al. 2020).

    The two are the truncated singular value decomposition, the nearest product of this rank (Eckart and Young 1936),
    each with the root of the singular values. An output layer that was tied keeps the whole matrix.

    Returns:
        Path of the embedding.

    Raises:
        UsageError: no embedding of tokens, or a rank that makes nothing smaller.
    """
    path = token_embedding(net)
    table: Any = net.get_submodule(path)
    rows, width = table.weight.shape
    if isinstance(table, nn.EmbeddingBag) or not 1 <= rank <= min(rows, width):
        raise UsageError(
            f"embedding_rank = {rank} does not factorise {path!r}, {type(table).__name__} of {rows} x {width}: "
            f"the rank must be 1 to {min(rows, width)}, and below {rows * width / (rows + width):.0f} to save memory. "
            f"Write embedding_rank = {max(1, min(rows, width) // 4)}."
        )
    left, sizes, right = torch.linalg.svd(table.weight.detach().double(), full_matrices=False)
    root = sizes[:rank].sqrt()
    thin = nn.Embedding(rows, rank, padding_idx=table.padding_idx)
    wide = nn.Linear(rank, width, bias=False)
    for parameter, values in ((thin.weight, left[:, :rank] * root), (wide.weight, (root[:, None] * right[:rank]).T)):
        parameter.data = values.to(table.weight).contiguous()
        parameter.requires_grad_(table.weight.requires_grad)
    parent, _, name = path.rpartition(".")
    setattr(net.get_submodule(parent), name, nn.Sequential(thin, wide))
    return path


def _slots(net: nn.Module, weight: nn.Parameter, rows: int) -> list[Slot]:
    """The embedding, the layers tied to it, and their biases."""
    slots = []
    for path, module in net.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if any(p is weight for p in own.values()):
            slots += [Slot(path, name, 0) for name, p in own.items() if p.shape[0] == rows]
    return slots
