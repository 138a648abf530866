"""The nets of a teacher that are trained in this run, each on the labels it may see."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse import hashes, students
from stillhouse.data import Rows, StoredBatches, Stream
from stillhouse.engine import CHECKPOINT, Budget, Step, fit, read_weights, tensor_state, write_weights
from stillhouse.errors import RejectedError
from stillhouse.pipeline.run.context import RunContext, budget_of
from stillhouse.pipeline.run.labels import counted_rows
from stillhouse.pipeline.run.progress import Advance, show_metrics
from stillhouse.pipeline.run.user_code import CODE, own_net
from stillhouse.pipeline.student.config import WEIGHTS, build, given_weights
from stillhouse.pipeline.teacher.build import hub_net, whole_length
from stillhouse.recipe import Member
from stillhouse.teachers import as_float32
from stillhouse.teachers.hub.cards import card_of
from stillhouse.teachers.hub.nets import TokenNet
from stillhouse.teachers.hub.tuning import merged
from stillhouse.types import has_label


class TeacherNet:
    """One net: built, trained, kept in its folder, and loaded again.

    Args:
        context: of the run.
        section: of the recipe.
        arm: "teacher" or "teacher_same".
        layers: tap paths that methods ask for.
        visible: labels of the training rows, hidden where this net may not see them.
        folder: where it is kept.
    """

    def __init__(
        self, context: RunContext, section: Member, arm: str, layers: list[str], visible: Tensor, folder: Path
    ) -> None:
        self.context, self.section = context, section
        self.arm, self.layers, self.visible, self.folder = arm, layers, visible, folder

    @property
    def name(self) -> str:
        """Of the zoo, or ``python:``; a hub model has its own."""
        return self.section.name or default_teacher(self.context.data.train.inputs)

    @property
    def trained(self) -> bool:
        """Whether its training has ended."""
        return (self.folder / WEIGHTS).exists() and hashes.complete(self.folder)

    @cached_property
    def budget(self) -> Budget:
        """What its training may spend."""
        rows, device = len(self.context.data.train.targets), self.context.recipe.training.device
        return budget_of(self.section.training, rows, device)

    def net(self) -> nn.Module:
        """A fresh one."""
        if self.section.hub is not None:
            made = hub_net(self.section, self.context.task, self.context.spec.names, self.context.recipe.data.seed)
            return whole_length(made, self.layers)
        if self.name.startswith(CODE):
            shape = tuple(self.context.data.train.inputs.shape[1:])
            return as_float32(own_net(self.name, True, shape, self.context.spec.width, self.section.settings))
        return build(self.zoo_card(), self.context.spec.width)

    def zoo_card(self) -> dict[str, Any]:
        """How to build a net of the zoo; the vocabulary is the data's."""
        settings: dict[str, Any] = dict(self.section.settings)
        words = self.context.data.encoder.text
        if words is not None and "vocabulary" in students.defaults(self.name):
            settings.setdefault("vocabulary", words.vocabulary)
        return {"name": self.name, "settings": settings, "shape": list(self.context.data.train.inputs.shape[1:])}

    def of_hub(self, net: nn.Module) -> bool:
        """Whether a net is one of Hugging Face's, which its own configuration describes."""
        return isinstance(net, TokenNet)

    def card(self, net: nn.Module) -> dict[str, Any]:
        """How to build this net of its kind again; empty for the user's own."""
        if self.of_hub(net):
            return card_of(net)
        return {} if self.name.startswith(CODE) else self.zoo_card()

    def load(self, file: Path | None = None) -> nn.Module:
        """The net with the weights of a file; None: its own, once it is trained.

        Raises:
            UsageError: there is no such file.
            RejectedError: it is cut short, or holds the weights of another net.
            DamagedError: the net's own file is cut short.
        """
        tensors = read_weights(self.folder / WEIGHTS)[0] if file is None else given_weights(file, "[teacher] file")
        net = merged(self.net())
        try:
            net.load_state_dict(tensors)
        except RuntimeError as error:
            raise RejectedError(
                f"{file or self.folder / WEIGHTS} does not hold weights of {self.name!r} with these settings for "
                f"{self.context.spec.width} outputs: {str(error).splitlines()[-1].strip()} Give the right "
                "`[teacher] name` and `settings`."
            ) from error
        return net

    def train(self, advance: Advance) -> None:
        """Train it on the labels it may see, and leave its weights in its folder."""
        torch.manual_seed(self.context.recipe.data.seed)
        data, labelled = self.context.data, torch.nonzero(has_label(self.visible)).flatten()
        rows, weights = counted_rows(self.context, self.visible, labelled)
        views, seed = self.context.views, self.context.recipe.data.seed
        stream = Stream(rows, batch_size=self.budget.batch_size, seed=seed, views=views.labelled)
        trained = fit(
            Step(self.net(), loss=self.context.task.loss, label_smoothing=self.section.training.label_smoothing),
            StoredBatches(Rows(data.train.inputs, self.visible, weights), stream, views),
            self.budget,
            folder=self.folder,
            identity=f"{self.context.run.record['digest']}/{self.folder.relative_to(self.context.run.folder)}",
            valid=data.valid,
            validation=self.context.task.validation,
            monitor=self.context.task.monitor,
            tags={"arm": self.arm, "seed": "-"},
            advance=advance,
            on_log=show_metrics,
        )
        write_weights(self.folder / WEIGHTS, tensor_state(merged(trained)))
        hashes.remove(self.folder / CHECKPOINT)


def default_teacher(inputs: Tensor) -> str:
    """A convolutional net for images, a transformer for texts, boosted trees for the rest."""
    if not inputs.is_floating_point():
        return "transformer_tiny"
    return "cnn_large" if inputs.ndim == 4 else "hist_gradient_boosting"
