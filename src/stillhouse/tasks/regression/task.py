"""Regression: one or several real targets for each row, in the user's units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.recipe import Controls, Recipe, Training
from stillhouse.task import OUTPUTS, OutputSpec, Record
from stillhouse.tasks.base import BaseTask
from stillhouse.tasks.predictor import run_net
from stillhouse.tasks.regression import conformal, losses, teachers
from stillhouse.tasks.regression.judgement import RegressionJudge
from stillhouse.tasks.regression.predictor import DeployedRegressor
from stillhouse.tasks.regression.pseudo_labels import pseudo_labels
from stillhouse.tasks.regression.report import SECTIONS
from stillhouse.tasks.regression.scaling import Scaler, StandardizedTeacher
from stillhouse.tasks.regression.targets import read_targets
from stillhouse.tasks.soft_targets import mixed
from stillhouse.types import Teacher, in_eval


class Regression(RegressionJudge, BaseTask):
    """One or several real targets for each row.

    Args:
        scaler: of a run's targets; None: outside a run, where members that need units cannot be used.
    """

    name = "regression"
    method = ({"name": "mse"},)
    reads = "values"
    fits = ("mse", "mae", "huber", "gaussian")
    sections = SECTIONS
    monitor = "mse"
    binds = True
    link = "identity"
    teachers = teachers
    deployed = DeployedRegressor

    read_targets = staticmethod(read_targets)
    loss = staticmethod(losses.loss)
    validation = staticmethod(losses.validation)
    pseudo_labels = staticmethod(pseudo_labels)

    def __init__(self, scaler: Scaler | None = None) -> None:
        self._scaler = scaler

    @property
    def scaler(self) -> Scaler:
        """Of the run's targets."""
        assert self._scaler is not None, "a task of a run is bound to its targets"
        return self._scaler

    def settle(self, recipe: Recipe) -> Recipe:
        """The recipe with the default method; refuses the smoothing of labels.

        Raises:
            UsageError: names the table that asks for it.
        """
        sections: dict[str, Training | Controls] = {"controls": recipe.controls, **recipe.trainings()}
        for where, section in sections.items():
            if section.label_smoothing:
                raise UsageError(
                    f"[{where}] label_smoothing = {section.label_smoothing:g} is for classes, and the targets are "
                    "numbers. Remove the line."
                )
        return super().settle(recipe)

    def bind(self, targets: NDArray[Any], names: Sequence[str]) -> Regression:
        """The task with the scale of the labelled training targets."""
        return Regression(Scaler.fit(targets, names))

    def enter(self, targets: Tensor) -> Tensor:
        """Targets in standard units."""
        return self.scaler.standardize(targets.double()).float()

    def enter_teacher(self, teacher: Teacher) -> Teacher:
        """A teacher whose answers are in standard units."""
        return StandardizedTeacher(teacher, self.scaler)

    def record(self, outputs: Tensor) -> Record:
        """Values in the user's units."""
        return {OUTPUTS: self.scaler.restore(outputs.double()).float().numpy()}

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, spec: OutputSpec, label_weight: float, method_weight: float
    ) -> Tensor:
        """Values (N, K): the teacher's, mixed with the label where one is visible."""
        answers = None if teacher is None else teacher.double()
        return mixed(targets.double(), answers, label_weight, method_weight).float()

    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> DeployedRegressor:
        """The regressor that ships, with intervals where there are validation rows."""
        data, half = context.data, None
        if len(data.valid.targets):
            values = self.record(torch.as_tensor(run_net(in_eval(net), data.valid.inputs)))[OUTPUTS]
            widths = conformal.half_width(values.astype(np.float64), data.source.targets[data.split.valid])
            half = [float(width) if np.isfinite(width) else None for width in widths]
        return DeployedRegressor(
            net,
            data.encoder,
            context.spec.names,
            self.scaler,
            card,
            data.source.column,
            half,
            None if half is None else conformal.LEVEL,
        )


TASK = Regression()
