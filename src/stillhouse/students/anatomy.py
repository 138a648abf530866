"""The parts of transformer blocks, found by the names and sizes of their linear layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from stillhouse.students.narrow import CONVOLUTIONS, Group, Slot
from stillhouse.students.stacks import configs

# What the projections are called in BERT, RoBERTa, ELECTRA, ViT; DistilBERT; BART, LLaMA; MPNet.
PROJECTIONS = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q_proj", "k_proj", "v_proj"), ("q", "k", "v"))
HEADS = ("num_attention_heads", "n_heads", "num_heads", "heads")
KEY_HEADS = ("num_key_value_heads",)
FEEDFORWARD = ("intermediate_size", "hidden_dim", "ffn_dim")


@dataclass(frozen=True)
class Attention:
    """Self-attention with separate projections for queries, keys and values."""

    path: str  # of the module that holds the projections and knows the number of heads
    inward: tuple[str, ...]  # paths of query, key, value
    out: str
    heads: int  # of the queries
    shared: int = 1  # heads of queries that read one head of keys (grouped-query attention)


@dataclass(frozen=True)
class Block:
    """One block: ``feedforward`` are the linear layers that make its hidden units, ``back`` reads them."""

    attention: Attention | None
    feedforward: tuple[str, ...]
    back: str | None


def anatomy(net: nn.Module, path: str) -> Block:
    """Look into one block.

    Args:
        net: holds the block.
        path: of the block.
    """
    block = net.get_submodule(path)
    linear = {f"{path}.{name}": m for name, m in block.named_modules() if isinstance(m, nn.Linear)}
    attention = _attention(net, linear)
    # In order of registration, the last projection of attention comes right before the feed-forward layers.
    names = list(linear)
    rest = names[names.index(attention.out) + 1 :] if attention is not None else names
    back = rest[-1] if len(rest) > 1 else None
    if back is None:
        return Block(attention, (), None)
    hidden, width = linear[back].in_features, linear[back].out_features
    made = [n for n in rest[:-1] if linear[n].out_features == hidden and linear[n].in_features == width]
    made = made if attention is not None else made[-1:]
    return Block(attention, tuple(made), back if made else None)


def head_group(net: nn.Module, attention: Attention) -> Group:
    """The heads of one attention: rows of the input projections, columns of the output projection.

    Heads that share their keys are one unit.
    """
    slots = [slot for path in attention.inward for slot in _written(net, path)]
    slots.append(Slot(attention.out, "weight", 1, reads=True))
    return Group(f"{attention.path}: heads", attention.heads // attention.shared, slots)


def feedforward_group(net: nn.Module, block: Block) -> Group:
    """The hidden units of one feed-forward net."""
    assert block.back is not None
    slots = [slot for path in block.feedforward for slot in _written(net, path)]
    slots.append(Slot(block.back, "weight", 1, reads=True))
    return Group(f"{block.back}: hidden units", net.get_submodule(block.back).in_features, slots)  # type: ignore[arg-type]


def hidden_group(net: nn.Module, blocks: list[Block]) -> Group:
    """The units of the residual stream: the same ones in embeddings, every block, every norm, and what follows.

    The units of heads and feed-forward nets inside the blocks are other groups, whatever their number is. The outputs
    of the net's last linear layer stay.
    """
    first = blocks[0].attention
    assert first is not None
    width = int(net.get_submodule(first.inward[0]).in_features)  # type: ignore[arg-type]
    inner = {
        path for block in blocks for path in (*(block.attention.inward if block.attention else ()), *block.feedforward)
    }
    models: list[Any] = [m for m in net.modules() if hasattr(m, "get_output_embeddings")]
    heads = [m.get_output_embeddings() for m in models]
    inner |= {path for path, module in net.named_modules() if any(module is head for head in heads)}  # of tokens
    outer = {
        path for block in blocks for path in (block.attention.out if block.attention else None, block.back) if path
    }
    last = [path for path, module in net.named_modules() if isinstance(module, nn.Linear)][-1]
    # A Hugging Face model without a head ends in a pooler, whose outputs are hidden units too.
    answers = not configs(net) or any(getattr(c, "num_labels", None) == width for c in configs(net))
    stays = inner | ({last} - outer if answers else set())
    slots: list[Slot] = []
    for path, module in net.named_modules():
        if isinstance(module, nn.Linear):
            if module.in_features == width and path not in outer:
                slots.append(Slot(path, "weight", 1, reads=True))
            if module.out_features == width and path not in stays:
                slots += _written(net, path)
        elif isinstance(module, CONVOLUTIONS):
            slots += _written(net, path) if module.out_channels == width else []
        else:  # embeddings, norms, class tokens, positions
            own = module.named_parameters(recurse=False)
            slots += [Slot(path, name, p.ndim - 1) for name, p in own if p.shape and p.shape[-1] == width]
    return Group("hidden units", width, slots)


def tell_heads(net: nn.Module, attention: Attention, heads: int) -> None:
    """Set the number of heads that an attention module stores."""
    module = net.get_submodule(attention.path)
    for name in HEADS:
        if hasattr(module, name):
            setattr(module, name, heads)
    if hasattr(module, "all_head_size"):
        module.all_head_size = net.get_submodule(attention.out).in_features


def tell_config(net: nn.Module, names: tuple[str, ...], value: int) -> None:
    """Write a size into the Hugging Face configurations of a net, under the first of the names that each one has."""
    for config in configs(net):
        for name in names:
            if hasattr(config, name):
                setattr(config, name, value)
                break


def _attention(net: nn.Module, linear: dict[str, nn.Linear]) -> Attention | None:
    for inward in PROJECTIONS:
        found = [next((p for p in linear if p.rpartition(".")[2] == name), None) for name in inward]
        if None in found:
            continue
        paths = [str(p) for p in found]
        holder = paths[0].rpartition(".")[0]
        after = list(linear)[max(list(linear).index(p) for p in paths) + 1 :]
        heads = _heads(net.get_submodule(holder))
        asked, *kept = (linear[p].out_features for p in paths)
        shared = asked // kept[0]
        fits = len(set(kept)) == 1 and kept[0] * shared == asked and heads and heads % shared == 0
        if after and heads and fits and linear[after[0]].in_features == asked:
            return Attention(holder, tuple(paths), after[0], heads, shared)
    return None


def _heads(module: Any) -> int | None:
    for holder in (module, getattr(module, "config", None)):
        for name in HEADS:
            if isinstance(getattr(holder, name, None), int):
                return int(getattr(holder, name))
    return None


def _written(net: nn.Module, path: str) -> list[Slot]:
    names = ("weight",) if net.get_submodule(path).bias is None else ("weight", "bias")
    return [Slot(path, name, 0) for name in names]
