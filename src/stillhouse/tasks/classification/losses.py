"""Classes: from labels and a teacher's answers to probabilities."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillhouse.tasks.soft_targets import mixed
from stillhouse.types import logits_of


def normalize(outputs: Tensor) -> Tensor:
    """Log-probabilities float32 (B, C) of logits, computed in double where they are normalised."""
    return torch.log_softmax(outputs.double(), dim=-1).float()


@torch.inference_mode()
def log_proba(net: nn.Module, inputs: Tensor) -> Tensor:
    """Log-probabilities float32 (B, C) of a net for encoded inputs."""
    return normalize(logits_of(net(inputs)))


def soft_targets(
    targets: Tensor, teacher: Tensor | None, label_weight: float, method_weight: float, classes: int
) -> Tensor:
    """What a fitted student is fitted to, (N, C) probabilities: the teacher's, mixed with the label where one is seen.

    Args:
        targets: int64 (N,), -1 where no label may be seen.
        teacher: log-probabilities (N, C), or None for a control, whose rows all have labels.
        label_weight: of the labels beside the teacher.
        method_weight: of the teacher.
        classes: number of classes C.
    """
    labels = nn.functional.one_hot(targets.clamp(min=0), classes).double()
    labels[targets < 0] = torch.nan
    answers = None if teacher is None else teacher.double().exp()
    found = mixed(labels, answers, label_weight, method_weight)
    return (found / found.sum(1, keepdim=True)).float()
