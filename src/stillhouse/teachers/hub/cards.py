"""Hugging Face nets without their weights: what a folder of ours keeps, so that a student of one can be built again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse.errors import UsageError
from stillhouse.teachers.hub.models import HubModel, library
from stillhouse.teachers.hub.nets import Embedder, EncoderClassifier, ReadyClassifier


def card_of(net: nn.Module) -> dict[str, Any]:
    """The configuration of a classifier made by ``hub_classifier``, JSON-able.

    Raises:
        UsageError: it is another kind of net.
    """
    if isinstance(net, EncoderClassifier):
        inner, mode = net.encoder, net.pool.mode
    elif isinstance(net, ReadyClassifier):
        inner, mode = net.model, None
    else:
        raise UsageError(f"{type(net).__name__} is no net of a hub model, and no card describes it.")
    config: Any = inner.config
    kept = {"config": config.to_dict(), "pooling": mode, "vocabulary": net.vocabulary, "pad": net.pad}
    return kept | {"pooler": getattr(inner, "pooler", None) is not None}


def from_card(card: dict[str, Any], classes: int) -> nn.Module:
    """The same structure with random weights, in training mode.

    Raises:
        UsageError: transformers is not installed.
    """
    transformers, config = _config(card)
    found = HubModel(Path(), "encoder", "", None, None, card["vocabulary"], card["pad"])
    if card["pooling"] is None:
        model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        return ReadyClassifier(model, torch.arange(classes), found).train()
    return EncoderClassifier(_encoder(card), card["pooling"], classes, found, seed=0).train()


def embedder_card(net: Any) -> dict[str, Any]:
    """The configuration of an embedder made by ``hub_embedder``, JSON-able."""
    return {
        "config": net.encoder.config.to_dict(),
        "pooling": net.pool.mode,
        "normalised": not isinstance(net.unit, nn.Identity),
        "vocabulary": net.vocabulary,
        "pad": net.pad,
        "pooler": getattr(net.encoder, "pooler", None) is not None,
    }


def embedder_from_card(card: dict[str, Any]) -> Embedder:
    """The same structure with random weights.

    Raises:
        UsageError: transformers is not installed.
    """
    found = HubModel(Path(), "encoder", "", None, None, card["vocabulary"], card["pad"])
    return Embedder(_encoder(card), card["pooling"], card["normalised"], found)


def _config(card: dict[str, Any]) -> tuple[Any, Any]:
    transformers = library("transformers")
    settings = {
        key: value for key, value in card["config"].items() if key not in ("model_type", "transformers_version")
    }
    return transformers, transformers.AutoConfig.for_model(card["config"]["model_type"], **settings)


def _encoder(card: dict[str, Any]) -> Any:
    transformers, config = _config(card)
    encoder = transformers.AutoModel.from_config(config, dtype=torch.float32)
    if not card["pooler"] and hasattr(encoder, "pooler"):
        encoder.pooler = None
    return encoder
