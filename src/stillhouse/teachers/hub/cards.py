"""Hugging Face nets without their weights: the description in a run folder that rebuilds such a student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse.errors import UsageError
from stillhouse.extras import library
from stillhouse.teachers.hub.configs import plain_config
from stillhouse.teachers.hub.models import HubModel
from stillhouse.teachers.hub.nets import Embedder, EncoderClassifier, ReadyClassifier


def card_of(net: nn.Module) -> dict[str, Any]:
    """How to rebuild a hub net, JSON-able: ``{"hub": ...}`` for a net with a head, ``{"embedder": ...}`` for another.

    Raises:
        UsageError: it is another kind of net.
    """
    if isinstance(net, Embedder):
        facts = _facts(net, net.encoder, net.pool.mode)
        return {"embedder": facts | {"normalised": not isinstance(net.unit, nn.Identity)}}
    if isinstance(net, EncoderClassifier):
        return {"hub": _facts(net, net.encoder, net.pool.mode)}
    if isinstance(net, ReadyClassifier):
        return {"hub": _facts(net, net.model, None)}
    raise UsageError(f"{type(net).__name__} is not a net of a hub model, so no card can describe it.")


def _facts(net: Any, inner: Any, pooling: str | None) -> dict[str, Any]:
    kept = {"config": inner.config.to_dict(), "pooling": pooling, "vocabulary": net.vocabulary, "pad": net.pad}
    return kept | {"pooler": getattr(inner, "pooler", None) is not None}


def from_card(card: dict[str, Any], outputs: int) -> nn.Module:
    """The net of a card of ``card_of`` with random weights, in training mode; ``outputs``: width of its head, if any.

    Raises:
        UsageError: transformers is not installed.
    """
    transformers = library("transformers", "This model")
    facts = card.get("hub") or card["embedder"]
    config = plain_config(facts["config"], "The card of the student (model.json)")
    found = HubModel(Path(), "encoder", "", None, None, facts["vocabulary"], facts["pad"])
    if facts["pooling"] is None:
        model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        return ReadyClassifier(model, torch.arange(outputs), found).train()
    encoder = transformers.AutoModel.from_config(config, dtype=torch.float32)
    if not facts["pooler"] and hasattr(encoder, "pooler"):
        encoder.pooler = None
    if "embedder" in card:
        return Embedder(encoder, facts["pooling"], facts["normalised"], found)
    return EncoderClassifier(encoder, facts["pooling"], outputs, found, seed=0).train()
