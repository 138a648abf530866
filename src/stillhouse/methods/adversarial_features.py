"""A discriminator on a hidden layer that tells the teacher's features from the student's, with a gradient penalty."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stillhouse.adapters import Discriminator, adapter
from stillhouse.errors import UsageError
from stillhouse.functional.adversarial import against, game, steepness
from stillhouse.functional.features import covering, mean_over_features
from stillhouse.functional.reduction import at_least_float32, fill_masked, prepare, reduce
from stillhouse.methods.base import Method, Paper
from stillhouse.types import Batch, Outputs, Spec


def adversarial_features(
    student_scores: Tensor, teacher_scores: Tensor, mask: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """The game of the discriminator on features (Chung et al. 2020).

    Matches:
        The distribution of a hidden feature of the student, after a learned adapter, and one of the teacher, as far as
        a learned discriminator tells one from the other.

    Formula:
        mean_i mean_p log D(f_t) + log(1 - D(r(f_s))) + 2 log 2 over the places p of a feature, with D the sigmoid of a
        score; the student and r decrease it, D increases it. D also decreases penalty / 2 * mean_i mean_p
        |grad D_score(f_t)|^2, the R1 penalty on real rows (Mescheder et al. 2018, eq. 9).

    Defaults:
        penalty = 1, width = 128: ours. Mescheder et al. use 10 for pictures.

    Deviations:
        The paper trains several nets at once, each the teacher of the next, with least squares for the game and no
        penalty; this is one direction, with a fixed teacher. Its discriminator is a small convolutional net on whole
        maps; this one reads one place of a map (or token) at a time, so that it fits features of any size. The two
        nets are trained at once, not in turns: the gradient of the weights of D is reversed (Ganin and Lempitsky 2015).

    Args:
        student_scores: ``(N, ...)``: scores of D for the student's features, one for each vector, token or pixel.
        teacher_scores: ``(N, ...)``: its scores for the teacher's.

    >>> import torch
    >>> round(adversarial_features(torch.tensor([[-1.0, 0.0]]), torch.tensor([[2.0, 0.0]])).item(), 4)
    0.4731
    """
    student, teacher = (fill_masked(scores, mask) for scores in (student_scores, teacher_scores))
    return reduce(mean_over_features(game(teacher, student), mask), mask, reduction)


class AdversarialFeatures(Method):
    """A discriminator on features, with a gradient penalty; see :func:`adversarial_features`.

    ``student_layer`` and ``teacher_layer`` are tap paths; ``width`` is that of the discriminator's hidden layers, and
    ``penalty`` the weight of the penalty on its slope. It did not help where it was measured: `docs/league_some.md`.
    """

    paper = Paper(
        "Chung, Park, Kim, Kwak",
        "Feature-map-level Online Adversarial Knowledge Distillation",
        "ICML",
        2020,
        arxiv="2002.01775",
    )
    family = "feature"
    needs = frozenset({"features"})
    perfect_is_zero = False

    def __init__(self, student_layer: str, teacher_layer: str, width: int = 128, penalty: float = 1.0) -> None:
        super().__init__()
        if width < 1 or penalty < 0:
            raise UsageError("width is at least 1 and penalty at least 0. Write `width = 128`, `penalty = 1.0`.")
        self.student_layers, self.teacher_layers = (student_layer,), (teacher_layer,)
        self.width, self.penalty = width, penalty
        self.adapter: nn.Module
        self.discriminator: Discriminator

    def build(self, student: Spec, teacher: Spec) -> None:
        """Create the adapter from the student's shape to the teacher's, and the discriminator of the latter."""
        theirs = teacher.features[self.teacher_layers[0]]
        self.adapter = adapter(student.features[self.student_layers[0]], theirs)
        self.discriminator = Discriminator(theirs[0] if len(theirs) == 3 else theirs[-1], self.width)

    def forward(self, student: Outputs, teacher: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return ``game`` and ``penalty``; the penalty moves the discriminator alone."""
        ((mine, theirs),) = self.pairs(student, teacher)
        mask = covering(batch.mask, mine)
        mine, theirs = prepare(self.adapter(fill_masked(mine, mask)), theirs, mask)
        mine, theirs = (_places(side) for side in (mine, theirs))
        apart = [against(self.discriminator, side)[..., 0] for side in (mine, theirs)]
        terms = {"game": adversarial_features(apart[0], apart[1], mask)}
        if self.penalty:
            with torch.enable_grad():
                real = theirs.detach().requires_grad_(True)
                found = steepness(at_least_float32(self.discriminator(real))[..., 0], real)
            terms["penalty"] = self.penalty / 2 * reduce(mean_over_features(found, mask), mask)
        return terms


def _places(features: Tensor) -> Tensor:
    """Maps ``(N, C, H, W)`` as ``(N, H, W, C)``; vectors and tokens as they are."""
    return features.movedim(1, -1) if features.ndim == 4 else features


METHOD = AdversarialFeatures
