"""The zoo: small nets to distil into, and the larger ones that teach them.

A net's settings are the keyword arguments of its builder. Initialisation follows torch's global seed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from stillhouse.errors import UsageError, nearest
from stillhouse.settings import check_settings, parameters
from stillhouse.students.convolutional import cnn_large, cnn_medium, cnn_small, cnn_tiny
from stillhouse.students.fitted import FITTED, unfitted
from stillhouse.students.numeric import mlp_numeric
from stillhouse.students.perceptron import mlp_large, mlp_tiny
from stillhouse.students.recurrent import gru_tiny
from stillhouse.students.residual import resnet_small, resnet_tiny
from stillhouse.students.tabular import linear, soft_tree
from stillhouse.students.text import bag_hashed, static_embedding
from stillhouse.students.text_transformer import transformer_tiny
from stillhouse.students.vision_transformer import vit_tiny

DEFAULT_OF_TEXTS = "static_embedding"  # a net of microseconds
ADD_UP = frozenset(
    {"static_embedding", "bag_hashed", "tfidf_linear", "tfidf_svd"}
)  # words: no text is too long for them

IMAGES = (cnn_tiny, cnn_small, cnn_medium, cnn_large, resnet_tiny, resnet_small, vit_tiny)
TABLES = (linear, mlp_tiny, mlp_numeric, mlp_large, soft_tree)
TEXTS = (bag_hashed, static_embedding, gru_tiny, transformer_tiny)
NETS: dict[str, Callable[..., nn.Module]] = {f.__name__: f for f in (*IMAGES, *TABLES, *TEXTS)}


UNUSUAL = 4096  # a setting above this is a reason to count a net's numbers before they are made


def names() -> list[str]:
    """Names of all nets of the zoo, sorted."""
    return sorted(NETS)


def defaults(name: str) -> dict[str, Any]:
    """Return the settings of a net with their defaults.

    Raises:
        UsageError: no net has this name; the message names the nearest.
    """
    return {key: p.default for key, p in parameters(FITTED.get(name) or _builder(name), keyword_only=True).items()}


def check(name: str, settings: Mapping[str, Any], what: str = "The net") -> None:
    """Refuse an unknown net, and settings that it does not take, before it is built.

    Raises:
        UsageError: no net has this name, or a setting is unknown or of the wrong type.
    """
    check_settings(f"{what} {name!r}", FITTED.get(name) or _builder(name), settings, keyword_only=True)


def make(name: str, *, shape: tuple[int, ...], outputs: int, settings: Mapping[str, Any]) -> nn.Module:
    """Build a net by name, in training mode, with weights drawn from torch's global generator.

    Args:
        name: One of ``names()``.
        shape: Of one input, without the batch axis: ``(C, H, W)`` for images, ``(F,)`` for encoded tables.
        outputs: Width of the output: classes, targets or coordinates; at least 1.
        settings: Keyword arguments of the net's builder; what is missing has the builder's default.

    Raises:
        UsageError: unknown net or setting (with the nearest known one), a value out of range, or a shape that this
            net cannot read.

    Example:
        >>> net = make("mlp_tiny", shape=(64,), outputs=10, settings={"hidden": [32]})
        >>> sum(p.numel() for p in net.parameters())
        2410
    """
    build = _builder(name)
    check(name, settings)
    if outputs < 1 or not shape or min(shape) < 1:
        raise UsageError(f"A net needs at least 1 output and an input of at least one value; got {outputs}, {shape}.")
    try:
        if name in NETS and max(_numbers([settings, shape, outputs])) > UNUSUAL:
            _check_memory(name, lambda: build(shape, outputs, **settings))
        return build(shape, outputs, **settings)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The net {name!r} cannot be built with {dict(settings)}: {error}.") from error


def _check_memory(name: str, build: Callable[[], nn.Module]) -> None:
    """Build a net without its numbers, on the meta device, and refuse one that this machine cannot hold.

    Raises:
        UsageError: its weights alone fill half of the memory.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        with torch.device("meta"):
            size = sum(tensor.numel() * tensor.element_size() for tensor in build().state_dict().values())
    except (RuntimeError, OverflowError) as error:  # more numbers than can be counted
        raise UsageError(f"The net {name!r} cannot be built with such settings: {error}. Choose smaller.") from error
    if size > memory // 2:
        raise UsageError(
            f"The net {name!r} would need {size / 2**30:,.0f} GiB for its weights alone; this machine has "
            f"{memory / 2**30:,.0f}. Choose smaller settings."
        )


def _numbers(value: Any) -> list[int]:
    """All whole numbers in settings, at any depth, and 0."""
    found, waiting = [0], [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping | list | tuple):
            waiting += one.values() if isinstance(one, Mapping) else one
        elif isinstance(one, int):
            found.append(one)
    return found


def _builder(name: str) -> Callable[..., nn.Module]:
    if name in FITTED:
        return lambda shape, outputs, **settings: unfitted(name, shape, outputs, settings)
    if name not in NETS:
        raise UsageError(f"There is no net {name!r} in the zoo.{nearest(name, [*NETS, *FITTED])}")
    return NETS[name]
