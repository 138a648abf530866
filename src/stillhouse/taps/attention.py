"""Taps inside attention modules: projections, scores and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from stillhouse.errors import UsageError
from stillhouse.taps.paths import unwrap
from stillhouse.taps.tap import Args, Kwargs, Tap, first, tensors

# Names of projections in the attention modules of torch, Hugging Face, timm and diffusers.
PROJECTIONS: Mapping[str, tuple[str, ...]] = {
    "query": ("query", "q_proj", "q_lin", "query_proj", "to_q", "q", "wq"),
    "key": ("key", "k_proj", "k_lin", "key_proj", "to_k", "k", "wk"),
    "value": ("value", "v_proj", "v_lin", "value_proj", "to_v", "v", "wv"),
}
_FUSED = ("qkv", "qkv_proj", "in_proj", "c_attn", "Wqkv")
_HEADS = ("num_attention_heads", "num_heads", "n_heads", "n_head", "heads")
_ARGUMENTS = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask", "average_attn_weights")


class Scores:
    """Attention scores from two taps on the projections: fused kernels do not compute them, so no module returns them.

    Args:
        query: tap on the query projection (B, L, A*d).
        key: tap on the key projection; where it has fewer heads, neighbouring query heads share one.
        heads: number of query heads A.
    """

    def __init__(self, query: Tap, key: Tap, heads: int) -> None:
        self.query, self.key, self.heads = query, key, heads

    @property
    def found(self) -> str | None:
        """What was found instead of the projections."""
        return self.query.found or self.key.found

    def attach(self) -> list[RemovableHandle]:
        """Register the hooks of both projections."""
        return [*self.query.attach(), *self.key.attach()]

    def take(self) -> Tensor | None:
        """Return and clear the scores (B, A, L, L), before mask and softmax."""
        query, key = self.query.take(), self.key.take()
        if query is None or key is None:
            return None
        width = query.shape[-1] // self.heads
        query = query.reshape(*query.shape[:-1], self.heads, width).transpose(1, 2)
        key = key.reshape(*key.shape[:-1], -1, width).transpose(1, 2)
        key = key.repeat_interleave(self.heads // key.shape[1], dim=1)
        return torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(width)


def projection(module: nn.Module, part: str, path: str) -> Tap:
    """Tap the query, key or value projection of an attention module: its own child, a third of a fused one, or torch's.

    Raises:
        UsageError: the module has no such projection.
    """
    children = dict(module.named_children())
    third = list(PROJECTIONS).index(part)
    for name in PROJECTIONS[part]:
        if name in children:
            return Tap(unwrap(children[name]), lambda _module, _args, _kwargs, output: first(output))
    for name in _FUSED:
        if name in children:
            return Tap(unwrap(children[name]), lambda _module, _args, _kwargs, output: _third(first(output), third))
    if isinstance(module, nn.MultiheadAttention):
        return Tap(module, lambda owner, args, kwargs, _output: _project(owner, part, args, kwargs), before=True)
    raise UsageError(_lacks(module, path, f"a projection called {', '.join((*PROJECTIONS[part], *_FUSED))}"))


def scores(module: nn.Module, path: str) -> Scores:
    """Tap the attention scores: from the query and key projections and the module's number of heads.

    Raises:
        UsageError: the module has no such projections, or no attribute for its number of heads.
    """
    heads = next((getattr(module, name) for name in _HEADS if isinstance(getattr(module, name, None), int)), None)
    if heads is None:
        raise UsageError(_lacks(module, path, f"an attribute for its number of heads ({', '.join(_HEADS)})"))
    return Scores(projection(module, "query", path), projection(module, "key", path), heads)


def weights(module: nn.Module) -> Tap:
    """Tap the attention weights (B, A, L, L): the first tensor with four axes among what the module returns."""
    change = _ask_for_weights if isinstance(module, nn.MultiheadAttention) else None
    return Tap(
        module,
        lambda _module, _args, _kwargs, output: next((t for t in tensors(output) if t.dim() == 4), None),
        change=change,
    )


def _project(module: nn.Module, part: str, args: Args, kwargs: Kwargs) -> Tensor:
    """A projection of torch's attention, which computes all three in one kernel: (B, L, D), whatever its layout."""
    assert isinstance(module, nn.MultiheadAttention)
    index = list(PROJECTIONS).index(part)
    tensor: Tensor = args[index] if len(args) > index else kwargs[part]
    if module.in_proj_weight is None:
        weight: Tensor = getattr(module, f"{part[0]}_proj_weight")
    else:
        weight = module.in_proj_weight.chunk(3)[index]
    bias = None if module.in_proj_bias is None else module.in_proj_bias.chunk(3)[index]
    projected = F.linear(tensor, weight, bias)
    return projected if module.batch_first or projected.dim() < 3 else projected.transpose(0, 1)


def _ask_for_weights(_: nn.Module, args: Args, kwargs: Kwargs) -> tuple[Args, Kwargs]:
    """Make torch's attention return the weights of each head; nn.TransformerEncoderLayer does not ask for them."""
    asked = {"need_weights": True, "average_attn_weights": False}
    return (), {**dict(zip(_ARGUMENTS, args, strict=False)), **kwargs, **asked}


def _third(value: Tensor | None, third: int) -> Tensor | None:
    return None if value is None else value.chunk(3, dim=-1)[third]


def _lacks(module: nn.Module, path: str, what: str) -> str:
    children = ", ".join(name for name, _ in module.named_children()) or "none"
    return (
        f"The tap path {path!r} names a {type(module).__name__}, which lacks {what}; its children are: {children}. "
        "Name the attention module itself, or the projection by its own path."
    )
