"""Vision models of timm by name, with random weights, to be trained here or loaded from a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from stillhouse.errors import UsageError, nearest
from stillhouse.extras import library

FETCHES = ("cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay")
OURS = ("in_chans", "num_classes")


def timm_classifier(name: str, shape: tuple[int, ...], classes: int, settings: Mapping[str, Any]) -> nn.Module:
    """A vision model of timm, from images (B, C, H, W) to logits (B, classes), in training mode; never downloads.

    Args:
        name: of the architecture.
        shape: of one image, (C, H, W).
        classes: number of logits.
        settings: keyword arguments of timm's builder, such as ``{"img_size": 32}``.

    Raises:
        UsageError: timm is not installed; there is no such architecture or setting; it cannot read such images; the
            name or a setting would download weights.
    """
    if ":" in name or any(key in FETCHES for key in settings):
        raise UsageError(
            f"With {name!r} and {dict(settings)} timm would download weights. Give only the architecture's name; "
            "your own weights go into `[teacher] file`, as .safetensors."
        )
    if any(key in OURS for key in settings) or len(shape) != 3:
        raise UsageError(
            f"timm's {name!r} reads images (C, H, W) and takes {' and '.join(OURS)} from the data, whose rows are "
            f"{shape}; its settings are {dict(settings)}. Leave those out, or use a net of the zoo."
        )
    timm = library("timm", "This model")
    if name not in (known := timm.list_models()):
        raise UsageError(f"timm has no model {name!r}.{nearest(name, known)}")
    try:
        made: nn.Module = timm.create_model(name, num_classes=classes, in_chans=shape[0], **settings)
        with torch.inference_mode():
            made.eval()(torch.zeros(1, *shape))
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:  # architectures raise any of these
        raise UsageError(
            f"timm's {name!r} cannot read images {shape} with the settings {dict(settings)}: "
            f"{str(error).splitlines()[0]} Transformers need `settings = {{ img_size = ... }}`; small images need a "
            "net that halves them less often."
        ) from error
    return made.train()
