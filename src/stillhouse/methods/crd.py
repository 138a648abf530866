"""Contrastive representation distillation: pairs of one sample against pairs of two samples from a memory."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - the name the field uses
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.functional.features import pooled, products, row_mask, unit
from stillhouse.functional.reduction import at_least_float32, fill_masked, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec


def crd(
    positive: Tensor,
    negatives: Tensor,
    rows: int,
    normalizer: Tensor | float = 1.0,
    contrast_temperature: float = 0.07,
    mask: Tensor | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Contrastive representation distillation (Tian et al. 2020), one direction.

    Matches:
        Whether two embeddings, one of each net, come from the same sample.

    Formula:
        s = exp(cos / T) / Z, P = K / rows; mean_i -[log(s_i+ / (s_i+ + P)) + sum_k log(P / (s_ik + P))].

    Defaults:
        T = 0.07, K = 16384 negatives, memory momentum 0.5, embeddings of 128, weight 0.8 (RepDistiller). Z is the
        number of rows times the mean of exp(cos / T) over the first batch, then fixed.

    Deviations:
        Published code adds 1e-7 to each denominator, which shifts the value by about rows * 1e-7; here the value is
        computed from logarithms and needs no constant. Its default draws negatives from other classes, which needs all
        labels; here negatives are other rows, the paper's general form.

    Args:
        positive: ``(N,)``: cosine of a sample's own pair, one net's embedding against the memory of the other's.
        negatives: ``(N, K)``: cosines with the memory of other rows.
        rows: Number of rows of the memory.
        normalizer: Z, above 0.
        contrast_temperature: T, above 0; it divides cosines, not logits, and adds no factor T^2.

    >>> import torch
    >>> cosines = torch.tensor([0.5]), torch.tensor([[0.0, -0.5]])
    >>> round(crd(*cosines, rows=2, contrast_temperature=0.5).item(), 4)
    1.3197
    """
    positive, negatives = (fill_masked(at_least_float32(c), mask) for c in (positive, negatives))
    noise = math.log(negatives.shape[-1] / rows) + torch.as_tensor(normalizer).to(positive).log()
    own, other = positive / contrast_temperature - noise, negatives / contrast_temperature - noise
    return reduce(F.softplus(-own) + F.softplus(other).sum(-1), mask, reduction)


class _Embed(nn.Module):
    """A linear map onto the unit sphere."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, dim)

    def forward(self, features: Tensor) -> Tensor:
        return unit(at_least_float32(self.linear(at_least_float32(features).flatten(1))))


class CRD(Method):
    """Contrastive representation distillation, both directions; see :func:`crd`.

    The memories hold one embedding for each training row and net. They, Z and the state of the generator that draws
    negatives are buffers, so a resumed run continues exactly as if it had not stopped. ``negatives`` is cut to the
    number of other rows. With several processes, only the batch of the first refreshes the memory.
    """

    paper = Paper("Tian, Krishnan, Isola", "Contrastive Representation Distillation", "ICLR", 2020, arxiv="1910.10699")
    family = "contrast"
    needs = frozenset({"embedding"})
    batch_coupled = True  # through the memory and Z
    perfect_is_zero = False

    def __init__(
        self,
        student_layer: str = "embedding",
        teacher_layer: str = "embedding",
        dim: int = 128,
        negatives: int = 16384,
        contrast_temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__()
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.dim = dim
        self.negatives = negatives
        self.contrast_temperature = contrast_temperature
        self.momentum = momentum
        self.embed_student: nn.Module
        self.embed_teacher: nn.Module
        self.memory_student: Tensor
        self.memory_teacher: Tensor
        self.normalizers: Tensor
        self.generator_state: Tensor

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the two embeddings and the memories.

        Raises:
            UsageError: the number of training rows is not known, or leaves no negative.
        """
        rows = max(student.rows, teacher.rows)
        if rows < 2:
            raise UsageError(
                f"crd draws negatives from a memory of all training rows, and the number of rows is {rows}. Give at "
                "least two: `Spec(rows=len(training rows))`."
            )
        self.embed_student = _Embed(_width(student.features[self.student_layers[0]]), self.dim)
        self.embed_teacher = _Embed(_width(teacher.features[self.teacher_layers[0]]), self.dim)
        bound = 1 / math.sqrt(self.dim / 3)
        self.register_buffer("memory_student", torch.empty(rows, self.dim).uniform_(-bound, bound))
        self.register_buffer("memory_teacher", torch.empty(rows, self.dim).uniform_(-bound, bound))
        self.register_buffer("normalizers", torch.zeros(2))  # 0: not set yet
        generator = torch.Generator().manual_seed(int(torch.randint(2**62, ()).item()))
        self.register_buffer("generator_state", generator.get_state())

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``contrast``, the sum of both directions; in training mode the memories are refreshed.

        Raises:
            UsageError: a row number lies outside the memory.
        """
        mine = self.embed_student(pooled(student.features[self.student_layers[0]]))
        theirs = self.embed_teacher(pooled(teacher.features[self.teacher_layers[0]].detach()))
        rows, mask = self._rows(batch.rows).to(mine.device), row_mask(batch.mask)
        if mask is not None:
            mine, theirs, rows = mine[mask], theirs[mask], rows[mask]
        negatives = self._draw(rows)
        sides = ((mine, self.memory_teacher), (theirs, self.memory_student))
        losses = [self._direction(i, side, memory, rows, negatives) for i, (side, memory) in enumerate(sides)]
        if self.training:
            self._refresh(self.memory_student, mine, rows)
            self._refresh(self.memory_teacher, theirs, rows)
        return {"contrast": losses[0] + losses[1]}

    def _rows(self, rows: Tensor) -> Tensor:
        size = len(self.memory_student)
        if len(rows) and int(rows.max()) >= size:
            raise UsageError(
                f"crd has a memory of {size} rows and was given row {int(rows.max())}: it was built for another number "
                "of training rows than the data have. Build it with `Spec(rows=...)` of these data."
            )
        return rows

    def _draw(self, rows: Tensor) -> Tensor:
        """Row numbers (N, K) of negatives: any row but the sample's own, uniformly, with replacement."""
        others = len(self.memory_student) - 1
        generator = torch.Generator()
        generator.set_state(self.generator_state.cpu())
        drawn = torch.randint(others, (len(rows), min(self.negatives, others)), generator=generator).to(rows.device)
        if self.training:
            self.generator_state.copy_(generator.get_state())
        return drawn + (drawn >= rows[:, None])

    def _direction(self, index: int, side: Tensor, memory: Tensor, rows: Tensor, negatives: Tensor) -> Tensor:
        memory = at_least_float32(memory)
        if 4 * negatives.shape[1] >= len(memory):  # all products at once cost less than gathering the drawn rows
            cosines = products(side, memory.clone())  # the memory itself changes before the backward pass
            own, other = cosines.gather(1, rows[:, None]).squeeze(1), cosines.gather(1, negatives)
        else:
            own, other = (side * memory[rows]).sum(1), products(side[:, None], memory[negatives]).squeeze(1)
        return crd(own, other, len(memory), self._normalizer(index, own, other), self.contrast_temperature)

    def _normalizer(self, index: int, own: Tensor, other: Tensor) -> Tensor:
        """Z of one direction; the first batch with rows sets it."""
        if own.numel() == 0:
            return torch.ones_like(self.normalizers[index])
        known = self.normalizers[index]
        with torch.no_grad():
            scores = (torch.cat([own[:, None], other], 1) / self.contrast_temperature).exp()
            found = torch.where(known > 0, known, (scores.mean() * len(self.memory_student)).to(known.dtype))
            if self.training:
                self.normalizers[index] = found
        return found

    def _refresh(self, memory: Tensor, side: Tensor, rows: Tensor) -> None:
        with torch.no_grad():
            mixed = self.momentum * memory[rows] + (1 - self.momentum) * side
            memory[rows] = F.normalize(at_least_float32(mixed)).to(memory.dtype)


def _width(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) == 3 else math.prod(shape)


METHOD = CRD
