"""Hugging Face nets without their weights: what a folder of ours keeps, so that a student of one can be built again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from stillhouse.errors import UsageError
from stillhouse.teachers.hub.models import HubModel, library
from stillhouse.teachers.hub.nets import EncoderClassifier, ReadyClassifier


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
    transformers = library("transformers")
    settings = {
        key: value for key, value in card["config"].items() if key not in ("model_type", "transformers_version")
    }
    config = transformers.AutoConfig.for_model(card["config"]["model_type"], **settings)
    found = HubModel(Path(), "encoder", "", None, None, card["vocabulary"], card["pad"])
    if card["pooling"] is None:
        model = transformers.AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
        return ReadyClassifier(model, torch.arange(classes), found).train()
    encoder = transformers.AutoModel.from_config(config, dtype=torch.float32)
    if not card["pooler"] and hasattr(encoder, "pooler"):
        encoder.pooler = None
    return EncoderClassifier(encoder, card["pooling"], classes, found, seed=0).train()
