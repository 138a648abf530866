"""Multi-label classification: every row has any number of labels, each judged separately."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from stillhouse.task import OutputSpec
from stillhouse.tasks.base import BaseTask
from stillhouse.tasks.classification.calibration import fit_temperature
from stillhouse.tasks.multilabel import losses, teachers
from stillhouse.tasks.multilabel.judgement import MultilabelJudge
from stillhouse.tasks.multilabel.predictor import DeployedMultilabel
from stillhouse.tasks.multilabel.pseudo_labels import both, pseudo_labels
from stillhouse.tasks.multilabel.report import SECTIONS
from stillhouse.tasks.multilabel.targets import read_targets
from stillhouse.tasks.soft_targets import mixed


class Multilabel(MultilabelJudge, BaseTask):
    """Any number of labels for each row, as independent log-odds."""

    name = "multilabel"
    method = ({"name": "binary_kd"},)
    reads = "log_odds"
    fits = ("binary_kd",)
    sections = SECTIONS
    monitor = "nll"
    link = "sigmoid"
    teachers = teachers
    deployed = DeployedMultilabel

    read_targets = staticmethod(read_targets)
    loss = staticmethod(losses.loss)
    validation = staticmethod(losses.validation)
    pseudo_labels = staticmethod(pseudo_labels)

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, spec: OutputSpec, label_weight: float, method_weight: float
    ) -> Tensor:
        """Probabilities (N, K): the teacher's, mixed with the labels where they are visible."""
        answers = None if teacher is None else teacher.double().sigmoid()
        return mixed(targets.double(), answers, label_weight, method_weight).float()

    def temperature(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> float | None:
        """The temperature of all labels that minimises the binary cross-entropy of the known ones."""
        known = ~targets.isnan()
        counts = None if weights is None else weights.double()[:, None].expand_as(targets)[known].numpy()
        return fit_temperature(both(outputs[known]).numpy(), targets[known].long().numpy(), counts)

    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> DeployedMultilabel:
        """The classifier that ships."""
        return DeployedMultilabel(net, context.data.encoder, context.spec.names, card, context.data.source.column)


TASK = Multilabel()
