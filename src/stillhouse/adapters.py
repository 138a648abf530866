"""Adapters: small learned modules that carry a student's feature into the teacher's shape.

They are sized once, from the two shapes, and trained together with the student; they do not ship with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse.errors import UsageError

Shape = tuple[int, ...]


class Resize(nn.Module):
    """Resize maps ``(N, C, H, W)`` to a fixed height and width, pixels; see :func:`resize`."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of shape ``(N, C, *size)``."""
        return resize(maps, self.size)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps ``(N, C, H, W)`` to ``size``: shrinking averages areas, so that no pixel is skipped; else bilinear.

    >>> import torch
    >>> resize(torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), (1, 1)).item()
    3.0
    """
    here = (maps.shape[-2], maps.shape[-1])
    if here == size:
        return maps
    if size[0] <= here[0] and size[1] <= here[1]:
        return F.adaptive_avg_pool2d(maps, size)
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


class _PoolLinear(nn.Module):
    """Average maps ``(N, C, H, W)`` over their pixels, then a linear map to ``(N, E)``."""

    def __init__(self, channels: int, width: int, bias: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, width, bias=bias)

    def forward(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.linear(maps.mean((-2, -1))))


def adapter(student_shape: Shape, teacher_shape: Shape, *, identity: bool = False, bias: bool = True) -> nn.Module:
    """Build the smallest learned map from ``(N, *student_shape)`` to ``(N, *teacher_shape)``.

    ``(D,) -> (E,)`` and ``(L, D) -> (L, E)``: linear on the last axis. ``(C, H, W) -> (C2, H2, W2)``: 1x1 convolution
    and, where the sizes differ, a resize, done on the side with fewer pixels (the two commute).
    ``(C, H, W) -> (E,)``: average over pixels, then linear.

    Args:
        student_shape: of the student's feature, without the batch axis.
        teacher_shape: of the teacher's feature.
        identity: return ``nn.Identity`` if the shapes are equal; False: learn a square map in that case too.
        bias: whether the learned map has a bias.

    Raises:
        UsageError: no adapter joins the two shapes.

    >>> adapter((8,), (16,))
    Linear(in_features=8, out_features=16, bias=True)
    >>> adapter((8,), (8,), identity=True)
    Identity()
    """
    student_shape, teacher_shape = tuple(student_shape), tuple(teacher_shape)
    if identity and student_shape == teacher_shape:
        return nn.Identity()
    match student_shape, teacher_shape:
        case (d,), (e,):
            return nn.Linear(d, e, bias=bias)
        case (length, d), (other, e) if length == other:
            return nn.Linear(d, e, bias=bias)
        case (c, h, w), (c2, h2, w2):
            return _map_adapter((c, h, w), (c2, h2, w2), bias)
        case (c, _, _), (e,):
            return _PoolLinear(c, e, bias)
    raise UsageError(
        f"No adapter joins the student's feature of shape {student_shape} to the teacher's of shape {teacher_shape} "
        "(batch axis left out). An adapter joins (D,) to (E,), tokens (L, D) to (L, E) of the same length L, maps "
        "(C, H, W) to maps or to a vector (E,). Choose layers of the same kind on both sides, for instance "
        '`student_layer = "embedding"` and `teacher_layer = "embedding"`; `stillhouse layers MODEL` lists the paths '
        "with their shapes."
    )


def _map_adapter(student: tuple[int, int, int], teacher: tuple[int, int, int], bias: bool) -> nn.Module:
    conv = nn.Conv2d(student[0], teacher[0], kernel_size=1, bias=bias)
    if student[1:] == teacher[1:]:
        return conv
    shrinks = teacher[1] * teacher[2] < student[1] * student[2]
    parts: list[nn.Module] = [Resize(teacher[1:]), conv] if shrinks else [conv, Resize(teacher[1:])]
    return nn.Sequential(*parts)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation of maps that accepts a batch of one pixel or none: it then uses its running statistics.

    One value has no variance: torch refuses it in training mode, and a run would fail at its last, short batch.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise maps ``(N, C, H, W)``."""
        if self.training and input.numel() <= self.num_features:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


def as_maps(features: Tensor) -> Tensor:
    """View vectors ``(N, D)`` as maps of one pixel ``(N, D, 1, 1)``; maps are returned as they are."""
    return features[:, :, None, None] if features.ndim == 2 else features


def map_shape(shape: Shape, where: str) -> tuple[int, int, int]:
    """Return ``(C, H, W)`` of maps, or of a vector seen as one pixel; refuse other shapes of the layer ``where``."""
    match tuple(shape):
        case (d,):
            return d, 1, 1
        case (c, h, w):
            return c, h, w
    raise UsageError(
        f"The layer {where!r} gives features of shape {tuple(shape)} (batch axis left out), but maps (C, H, W) or a "
        "vector (D,) are needed here. Name another layer; `stillhouse layers MODEL` lists paths and shapes."
    )


def vector_width(shape: Shape, where: str) -> int:
    """Return the width of a vector ``(D,)``, of each token ``(L, D)``, or of pooled maps ``(C, H, W)``."""
    match tuple(shape):
        case (width,) | (_, width) | (width, _, _):
            return width
    raise UsageError(
        f"The layer {where!r} gives features of shape {tuple(shape)} (batch axis left out), but a vector (D,), tokens "
        "(L, D) or maps (C, H, W) are needed here. Name another layer; `stillhouse layers MODEL` lists them."
    )


def paired(student_layers: Sequence[str], teacher_layers: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return two lists of layers as tuples; refuse a single name, no layers, and lists that differ in length."""
    for key, given in (("student_layers", student_layers), ("teacher_layers", teacher_layers)):
        if isinstance(given, str):
            raise UsageError(f"{key} = {given!r} is one name where a list is needed: write `{key} = [{given!r}]`.")
    if len(student_layers) != len(teacher_layers) or not student_layers:
        raise UsageError(
            f"student_layers names {len(student_layers)} layers and teacher_layers {len(teacher_layers)}: each student "
            "layer needs its teacher layer, and one pair at least. `stillhouse layers STUDENT TEACHER` proposes pairs."
        )
    return tuple(student_layers), tuple(teacher_layers)


class Discriminator(nn.Module):
    """Tells a teacher's outputs from a student's: ``(..., D)`` to ``(..., outputs)``, two hidden layers.

    Args:
        inputs: D.
        width: of both hidden layers.
        outputs: how many numbers it gives.
    """

    def __init__(self, inputs: int, width: int, outputs: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, outputs),
        )

    def forward(self, values: Tensor) -> Tensor:
        """Scores."""
        return cast(Tensor, self.layers(values))
