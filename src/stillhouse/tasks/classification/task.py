"""Classification: one of C classes for each row, as log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.task import OUTPUTS, Floats, OutputSpec, Record
from stillhouse.tasks.base import BaseTask
from stillhouse.tasks.classification import calibration, explanation, losses, teachers
from stillhouse.tasks.classification.judgement import ClassificationJudge, floored
from stillhouse.tasks.classification.predictor import DeployedClassifier
from stillhouse.tasks.classification.pseudo_labels import pseudo_labels
from stillhouse.tasks.classification.report import SECTIONS
from stillhouse.tasks.classification.targets import read_targets
from stillhouse.tasks.soft_targets import mixed


class Classification(ClassificationJudge, BaseTask):
    """One of C classes for each row."""

    name = "classification"
    method = ({"name": "hinton"},)
    reads = "logits"
    fits = ("hinton", "forward_kl")
    sections = SECTIONS
    monitor = losses.MONITOR
    shift_invariant = True
    stored = "logits"
    teachers = teachers
    full = True
    surrogate = True
    marks_words = True
    link = "softmax"
    deployed = DeployedClassifier
    influence = staticmethod(explanation.teaching_influence)

    read_targets = staticmethod(read_targets)
    normalize = staticmethod(losses.normalize)
    loss = staticmethod(losses.label_loss)
    validation = staticmethod(losses.validation)
    pseudo_labels = staticmethod(pseudo_labels)
    balanced = staticmethod(losses.balanced)

    def whole_outputs(self, outputs: Tensor, width: int) -> Tensor:
        """Logits (B, 2) of one logit a row, (B,) or (B, 1), which is that of the second class: the first gets 0."""
        outputs = super().whole_outputs(outputs, width)
        return (
            torch.cat([torch.zeros_like(outputs), outputs], 1) if outputs.shape[1:] == (1,) and width == 2 else outputs
        )

    def temperature(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> float | None:
        """The temperature that minimises the negative log-likelihood of the labels."""
        counts = None if weights is None else weights.double().numpy()
        return calibration.fit_temperature(floored(outputs.numpy()), targets.numpy(), counts)

    def judged(self, outputs: NDArray[Any]) -> Floats:
        """Log-probabilities with a floor."""
        return floored(outputs)

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, spec: OutputSpec, label_weight: float, method_weight: float
    ) -> Tensor:
        """Probabilities (N, C): the teacher's, mixed with the label where one is visible."""
        labels = nn.functional.one_hot(targets.clamp(min=0), spec.width).double()
        labels[targets < 0] = torch.nan
        found = mixed(labels, None if teacher is None else teacher.double().exp(), label_weight, method_weight)
        return (found / found.sum(1, keepdim=True)).float()

    def explanation(
        self, records: Mapping[str, Mapping[str, Record]], targets: NDArray[Any], names: Sequence[str]
    ) -> dict[str, Any]:
        """Class maps of teacher and students."""
        nets = {
            arm: {seed: floored(record[OUTPUTS]) for seed, record in seeds.items()} for arm, seeds in records.items()
        }
        return {"class_similarity": explanation.class_similarity(nets, targets, names, self.shipped)}

    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> DeployedClassifier:
        """The classifier that ships."""
        source = context.data.source
        return DeployedClassifier(
            net, context.data.encoder, context.spec.names, card, source.column, source.label_values
        )


TASK = Classification()
