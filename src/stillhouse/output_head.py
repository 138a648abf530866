"""The output layer of a causal model, so that losses over a vocabulary can be computed in chunks of tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.types import evaluating

PROBED = 3  # tokens whose logits are compared
CLOSE = 1e-4  # of the largest logit: what another order of the same float32 products may change


class OutputHead(NamedTuple):
    """From last hidden states to logits: the arguments of :func:`stillhouse.functional.vocabulary.vocabulary_loss`."""

    weight: Tensor  # (C, D), the model's own
    bias: Tensor | None  # (C,)
    scale: float  # by which the logits are multiplied
    cap: float | None  # their soft cap

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., C) of hidden states (..., D)."""
        found = nn.functional.linear(hidden, self.weight, self.bias) * self.scale
        return found if self.cap is None else torch.tanh(found / self.cap) * self.cap


def output_head(model: nn.Module) -> OutputHead:
    """Read the output layer of a causal model of transformers, and compare it with the model's own logits.

    Known are ``final_logit_softcapping`` (Gemma), ``logit_scale`` (Cohere) and ``logits_scaling`` (Granite). A model
    that does anything else after its output matrix is refused, because a loss in chunks would be that of another model.

    Args:
        model: has ``config``, ``get_output_embeddings`` and ``base_model``.

    Raises:
        UsageError: the model has no output matrix, or its logits are not what this layer gives.
    """
    found: Any = getattr(model, "get_output_embeddings", lambda: None)
    layer = found()
    if not isinstance(layer, nn.Linear):
        raise UsageError(
            f"The output layer of {type(model).__name__} is {type(layer).__name__}, not one matrix. A loss in chunks "
            "of tokens needs one: compute the loss over its whole logits."
        )
    config: Any = model.config
    divisor = float(getattr(config, "logits_scaling", None) or 1.0)
    scale = float(getattr(config, "logit_scale", None) or 1.0) / divisor
    cap = getattr(config, "final_logit_softcapping", None)
    head = OutputHead(layer.weight, layer.bias, scale, None if cap is None else float(cap))
    _compare(model, head, config.vocab_size)
    return head


@torch.no_grad()
def _compare(model: Any, head: OutputHead, classes: int) -> None:
    """Refuse a head that does not give the model's own logits for a few tokens."""
    ids = torch.arange(1, PROBED + 1, device=head.weight.device).remainder(classes).unsqueeze(0)
    with evaluating(model):
        hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        own = model(input_ids=ids, use_cache=False).logits.float()
        ours = head.logits(hidden).float()
    apart = float((own - ours).abs().max()) if own.shape == ours.shape else float("inf")
    bound = CLOSE if head.weight.dtype == torch.float32 else 2e-2
    if not apart <= bound * max(float(own.abs().max()), 1e-6):
        raise UsageError(
            f"{type(model).__name__} does more to its logits than its output matrix, scale and soft cap: they differ "
            f"by {apart:.3g}. A loss in chunks of tokens would be that of another model: compute it over whole logits."
        )
