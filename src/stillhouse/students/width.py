"""Narrower nets: heads, feed-forward units, hidden units and channels, the most important ones kept."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.anatomy import (
    FEEDFORWARD,
    HEADS,
    KEY_HEADS,
    Attention,
    Block,
    feedforward_group,
    head_group,
    hidden_group,
    tell_config,
    tell_heads,
)
from stillhouse.students.channels import channel_groups
from stillhouse.students.importance import gate_scores
from stillhouse.students.narrow import Group, best, cut, magnitude
from stillhouse.students.stacks import configs
from stillhouse.task import Link


def narrow_channels(net: nn.Module, width: float | int, probe: Tensor | None, link: Link = "softmax") -> list[str]:
    """Keep a share (float) or at most a number (int) of the channels of each group, in place. Returns notes.

    Raises:
        UsageError: the net cannot be traced, nothing can be narrowed, or a number below 1.
    """
    if width < 1 and isinstance(width, int):
        raise UsageError(f"width = {width}: at least one unit must stay. Write width = 0.5 for half of them.")
    groups = channel_groups(net)
    counts = [share_of(g.units, width) if isinstance(width, float) else min(width, g.units) for g in groups]
    narrow(net, groups, counts, probe, link)
    kept = ", ".join(f"{g.name} {k} of {g.units}" for g, k in zip(groups, counts, strict=True))
    return [f"width: {kept}"]


def narrow_blocks(
    net: nn.Module,
    blocks: Sequence[Block],
    width: float | int | None,
    heads: int | None,
    feedforward: float | None,
    probe: Tensor | None,
    link: Link = "softmax",
) -> list[str]:
    """Keep the most important hidden units, heads and feed-forward units of transformer blocks, in place.

    Heads keep their size, so the hidden width must be a multiple of it; without ``heads`` as many heads stay as fill
    it. All units are scored before any is cut.

    Returns:
        Notes: the parts kept, and whether ``from_pretrained`` can load the files of ``save_pretrained``.

    Raises:
        UsageError: a size that does not fit, or a missing part.
    """
    groups: list[Group] = []
    counts: list[int] = []
    notes: list[str] = []
    attentions = [block.attention for block in blocks if block.attention is not None]
    if width is not None or heads is not None:
        hidden = hidden_group(net, list(blocks))
        size, shared = _head_size(net, attentions[0]), attentions[0].shared
        units = hidden.units if width is None else _hidden_width(hidden.units, width, heads, size, shared)
        heads = units // size if heads is None else heads
        _check_heads(attentions, heads)
        _check_biases(net, attentions[0].heads, heads)
        groups += [*(head_group(net, attention) for attention in attentions), hidden]
        counts += [heads // shared] * len(attentions) + [units]
        notes += [f"heads: {heads} of {attentions[0].heads}", f"hidden units: {units} of {hidden.units}"]
        sized = any(getattr(config, "head_dim", None) for config in configs(net))  # the configuration holds the size
        if heads * size != units and configs(net) and not sized:
            notes.append(
                f"{heads} heads of {size} do not fill {units} hidden units, and no Hugging Face configuration can "
                f"express that: build it by derive before loading weights, or narrow the width to {heads * size} too"
            )
    if feedforward is not None:
        inner = _feedforward_groups(net, blocks)
        groups += inner
        counts += [share_of(group.units, feedforward) for group in inner]
        notes.append(f"feed-forward units: {counts[-1]} of {inner[-1].units}")
    narrow(net, groups, counts, probe, link)
    _tell(net, attentions, groups, counts, feedforward)
    return notes


def narrow(net: nn.Module, groups: Sequence[Group], counts: Sequence[int], probe: Tensor | None, link: Link) -> None:
    """Keep the most important units of each group, in place."""
    pairs = [(group, count) for group, count in zip(groups, counts, strict=True) if count < group.units]
    fewer = [group for group, _ in pairs]
    if probe is None:
        scores = [magnitude(net, group) for group in fewer]
    else:
        scores = gate_scores(net, fewer, probe, link) if fewer else []
    for (group, count), score in zip(pairs, scores, strict=True):
        cut(net, group, best(score, count))


def share_of(units: int, share: float) -> int:
    """A share of some units, to the nearest whole one, at least 1."""
    return max(1, round(units * share))


def _tell(
    net: nn.Module, attentions: Sequence[Attention], groups: Sequence[Group], counts: Sequence[int], share: float | None
) -> None:
    sizes = {group.name: (group.units, count) for group, count in zip(groups, counts, strict=True)}
    for attention in attentions:
        old, heads = sizes.get(f"{attention.path}: heads", (0, 0))
        if heads < old:
            tell_heads(net, attention, heads * attention.shared)
            tell_config(net, HEADS, heads * attention.shared)
            tell_config(net, KEY_HEADS, heads)
    if "hidden units" in sizes:
        tell_config(net, ("hidden_size", "dim"), sizes["hidden units"][1])
    if share is not None:
        tell_config(net, FEEDFORWARD, counts[-1])


def _hidden_width(units: int, width: float | int, heads: int | None, size: int, shared: int) -> int:
    step = size * shared if heads is None else heads
    name = "heads =" if heads is not None else "the head size" if shared == 1 else f"{shared} x the head size,"
    if isinstance(width, float):
        return min(units, max(1, round(units * width / step)) * step)
    if not 1 <= width <= units or width % step:
        below = max(step, min(width, units) // step * step)
        raise UsageError(
            f"width = {width} hidden units of {units} cannot be kept: the width must be a multiple of "
            f"{name} {step}, at most {units}. Write width = {below}."
        )
    return width


def _check_heads(attentions: Sequence[Attention], heads: int) -> None:
    there, shared = min(attention.heads for attention in attentions), attentions[0].shared
    if not 1 <= heads <= there or heads % shared:
        several = f"multiple of {shared} (so many share their keys) up to" if shared > 1 else "number of 1 to"
        raise UsageError(
            f"heads = {heads} cannot be kept: each attention has {there}. Write heads = "
            f"{max(1, there // 2 // shared) * shared}, or any {several} {there}."
        )


def _check_biases(net: nn.Module, there: int, heads: int) -> None:
    """Refuse position biases that all layers share (MPNet, T5): each layer keeps other heads."""
    shared = [path for path, m in net.named_modules() if isinstance(m, nn.Embedding) and m.embedding_dim == there]
    if shared and heads < there:
        raise UsageError(
            f"Heads of {type(net).__name__} cannot be left out: its layers share a bias for each head, {shared[0]!r}. "
            "Keep all heads; write feedforward = 0.5 or layers instead of width and heads."
        )


def _head_size(net: nn.Module, attention: Attention) -> int:
    return int(net.get_submodule(attention.out).in_features) // attention.heads  # type: ignore[arg-type]


def _feedforward_groups(net: nn.Module, blocks: Sequence[Block]) -> list[Group]:
    if not blocks or any(block.back is None for block in blocks):
        raise UsageError(
            f"feedforward: not every layer of {type(net).__name__} has a feed-forward net (a linear layer whose units "
            "the layer's last linear layer reads). Leave feedforward out, or narrow all channels: width = 0.5."
        )
    return [feedforward_group(net, block) for block in blocks]
