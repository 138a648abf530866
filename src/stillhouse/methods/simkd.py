"""SimKD: the student learns the teacher's last feature and reuses the teacher's classifier."""

from __future__ import annotations

import copy
from typing import cast

import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse.adapters import BatchNorm, as_maps, map_shape
from stillhouse.errors import UsageError
from stillhouse.functional.features import mean_over_features, row_mask
from stillhouse.functional.reduction import prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.taps import EMBEDDING, Taps, copy_untapped
from stillhouse.types import Batch, Outputs, Spec


def simkd(student: Tensor, teacher: Tensor, mask: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Distillation with the reused teacher classifier (Chen et al. 2022).

    Matches:
        The feature in front of the classifier: the student's after a projector, and the teacher's.

    Formula:
        mean_i mean_d (P(f_s)_id - f_t_id)^2; P is applied by the caller (the class does).

    Defaults:
        No other term: neither labels nor soft targets; weight 1. The projector's bottleneck has half the teacher's
        channels (factor 2).

    Deviations:
        None known in the loss. The student up to the tap, the projector and the teacher's classifier ship together. The
        published tables count the student alone in places: compare the parameters of everything that ships.

    >>> import torch
    >>> simkd(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]])).item()
    2.0
    """
    student, teacher = prepare(student, teacher, mask)
    return reduce(mean_over_features((student - teacher).square(), mask), mask, reduction)


def _block(channels: int, out: int, kernel: int, relu: bool = True) -> list[nn.Module]:
    conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
    return [conv, BatchNorm(out), nn.ReLU()] if relu else [conv, BatchNorm(out)]


class _Reuse(nn.Module):
    """Projector and teacher's classifier: from the student's tapped feature to logits."""

    def __init__(self, projector: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.projector = projector
        self.head = head

    def forward(self, feature: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.projector(as_maps(feature)).mean((-2, -1))))


class _Deployed(nn.Module):
    """A student tapped at a hidden layer, with the classifier reused from the teacher.

    Of the student's layers behind the tap only its own classifier is dropped. Other layers (pooling) still run, though
    nothing uses their outputs, because a net in general cannot be cut at a layer.
    """

    def __init__(self, student: nn.Module, path: str, reuse: _Reuse) -> None:
        super().__init__()
        self.student = student
        self.reuse = reuse
        self._taps = Taps(student, [path])

    def forward(self, inputs: Tensor) -> Tensor:
        self.student(inputs)
        (feature,) = self._taps.take().values()
        return cast(Tensor, self.reuse(feature))


class SimKD(Method):
    """The teacher's last feature and its classifier, reused; see :func:`simkd`.

    The projector is 1x1, 3x3 and 1x1 convolution, each with batch normalisation and ReLU; vectors are maps of one
    pixel. Where maps differ in size, the larger are averaged down. ``relu = false`` drops the last ReLU, for a teacher
    whose feature has negative values. The student's own classifier is not trained: use the module that :meth:`deploy`
    returns.
    """

    paper = Paper(
        "Chen, Mei, Zhang, Wang, Feng, Chen",
        "Knowledge Distillation with the Reused Teacher Classifier",
        "CVPR",
        2022,
        arxiv="2203.14001",
    )
    family = "feature"
    needs = frozenset({"embedding"})
    batch_coupled = True  # through the projector's batch normalisation

    def __init__(
        self, student_layer: str = EMBEDDING, teacher_layer: str = EMBEDDING, factor: int = 2, relu: bool = True
    ) -> None:
        super().__init__()
        if factor < 1:
            raise UsageError(f"factor = {factor}: the teacher's channels are divided by it. Set it to 1 or more.")
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.factor = factor
        self.relu = relu
        self.projector: nn.Module
        self.head: nn.Module | None = None
        self.replaced: str | None = None  # path of the student's own classifier

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the projector and keep a frozen copy of the teacher's classifier, where there is one."""
        mine, theirs = self.student_layers[0], self.teacher_layers[0]
        channels, target = map_shape(student.features[mine], mine)[0], map_shape(teacher.features[theirs], theirs)[0]
        narrow = max(target // self.factor, 1)
        blocks = _block(channels, narrow, 1) + _block(narrow, narrow, 3) + _block(narrow, target, 1, self.relu)
        self.projector = nn.Sequential(*blocks)
        self.replaced = student.classifier
        if teacher.head is not None:
            self.head = copy.deepcopy(teacher.head).requires_grad_(False)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``feature``."""
        mine = as_maps(student.features[self.student_layers[0]])
        theirs = as_maps(teacher.features[self.teacher_layers[0]].detach())
        mask = row_mask(batch.mask)
        if mask is not None:
            mine, theirs = mine[mask], theirs[mask]  # samples that do not count must not enter batch statistics
        size = (min(mine.shape[2], theirs.shape[2]), min(mine.shape[3], theirs.shape[3]))
        projected = self.projector(_shrunk(mine, size))
        return {"feature": simkd(projected, _shrunk(theirs, size))}

    def deploy(self, student: nn.Module) -> nn.Module:
        """Return the student up to the tap, the projector and the teacher's classifier, as one module.

        Raises:
            UsageError: the teacher's classifier, or the student's, is not known.
        """
        if self.head is None:
            raise UsageError(
                "simkd ships the teacher's classifier with the student, and found no classifier in this teacher (it is "
                "behind a service, or its last layer is not linear). Give the classifier as "
                '`Spec(head=...)`, or use `name = "fitnet"`, which ships the student alone.'
            )
        reuse = copy.deepcopy(_Reuse(self.projector, self.head))
        if self.replaced is None:
            raise UsageError(
                "simkd puts the teacher's classifier in place of the student's, and that one is not known. Give its "
                'path as `Spec(classifier="head")`.'
            )
        net, path = copy_untapped(student), self.student_layers[0]
        if path not in (EMBEDDING, f"{self.replaced}:input"):
            net.set_submodule(self.replaced, nn.Identity())
            return _Deployed(net, path, reuse)
        if not self.replaced:
            return reuse
        net.set_submodule(self.replaced, reuse)
        return net


def _shrunk(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return maps if maps.shape[2:] == size else F.adaptive_avg_pool2d(maps, size)


METHOD = SimKD
