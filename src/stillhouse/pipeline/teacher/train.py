"""The nets of a teacher that are trained in this run, each on the labels it may see."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse import students
from stillhouse.data import Rows, Stream
from stillhouse.engine import CHECKPOINT, Budget, Step, fit, read_weights, tensor_state, write_weights
from stillhouse.errors import RejectedError
from stillhouse.pipeline.context import Ingredients, budget_of
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.run.progress import Advance
from stillhouse.pipeline.student.config import build, given_weights
from stillhouse.pipeline.teacher.build import hub_net, whole_length
from stillhouse.pipeline.user_code import CODE, checked_module, own_code
from stillhouse.recipe import Member, Recipe
from stillhouse.teachers.hub.cards import card_of
from stillhouse.teachers.hub.nets import TokenNet
from stillhouse.teachers.hub.tuning import merged

WEIGHTS = "model.safetensors"


class TeacherNet:
    """One net: built, trained, kept in its folder, and loaded again.

    Args:
        run: the run folder.
        recipe: the recipe.
        have: the run's ingredients.
        section: what the recipe says of the teacher.
        arm: "teacher" or "teacher_same".
        layers: tap paths that methods ask for.
        visible: int64 (N,) labels of the training rows, -1 where this net may not see them.
        folder: where it is kept.
    """

    def __init__(
        self,
        run: RunFolder,
        recipe: Recipe,
        have: Ingredients,
        section: Member,
        arm: str,
        layers: list[str],
        visible: Tensor,
        folder: Path,
    ) -> None:
        self.run, self.recipe, self.have, self.section = run, recipe, have, section
        self.arm, self.layers, self.visible, self.folder = arm, layers, visible, folder

    @property
    def name(self) -> str:
        """Of the zoo, or ``python:``; a hub model has its own."""
        return self.section.name or default_teacher(self.have.data.train.inputs)

    @property
    def trained(self) -> bool:
        """Whether its training has ended."""
        return (self.folder / WEIGHTS).exists()

    @cached_property
    def budget(self) -> Budget:
        """What its training may spend."""
        return budget_of(self.section.training, len(self.have.data.train.targets))

    def net(self) -> nn.Module:
        """A fresh one."""
        if self.section.hub is not None:
            made = hub_net(self.section, self.have.task, self.have.spec.names, self.recipe.data.seed)
            return whole_length(made, self.layers)
        if self.name.startswith(CODE):
            shape = tuple(self.have.data.train.inputs.shape[1:])
            made = own_code(self.name, True)(shape=shape, classes=self.have.classes, **self.section.settings)
            return checked_module(made, self.name)
        return build(self.zoo_card(), self.have.classes)

    def zoo_card(self) -> dict[str, Any]:
        """How to build a net of the zoo; the vocabulary is the data's."""
        settings: dict[str, Any] = dict(self.section.settings)
        vocabulary = getattr(self.have.data.encoder, "vocabulary", None)
        if vocabulary is not None and "vocabulary" in students.defaults(self.name):
            settings.setdefault("vocabulary", vocabulary)
        return {"name": self.name, "settings": settings, "shape": list(self.have.data.train.inputs.shape[1:])}

    def card(self, net: nn.Module) -> dict[str, Any]:
        """How to build this net of its kind again; empty for the user's own."""
        if isinstance(net, TokenNet):
            return {"hub": card_of(net)}
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
                f"{self.have.classes} classes: {str(error).splitlines()[-1].strip()} Give the right "
                "`[teacher] name` and `settings`."
            ) from error
        return net

    def train(self, advance: Advance) -> None:
        """Train it on the labels it may see, and leave its weights in its folder."""
        torch.manual_seed(self.recipe.data.seed)
        data, seen = self.have.data, torch.nonzero(self.visible >= 0).flatten()
        views = self.have.views
        trained = fit(
            Step(self.net(), label_smoothing=self.section.training.label_smoothing),
            Rows(data.train.inputs, self.visible),
            Stream(seen, batch_size=self.budget.batch_size, seed=self.recipe.data.seed, views=views.labelled),
            views,
            self.budget,
            folder=self.folder,
            identity=f"{self.run.record['digest']}/{self.folder.relative_to(self.run.folder)}",
            valid=data.valid,
            tags={"arm": self.arm, "seed": "-"},
            advance=advance,
        )
        write_weights(self.folder / WEIGHTS, tensor_state(merged(trained)))
        (self.folder / CHECKPOINT).unlink(missing_ok=True)


def default_teacher(inputs: Tensor) -> str:
    """A convolutional net for images, a transformer for texts, boosted trees for the rest."""
    if not inputs.is_floating_point():
        return "transformer_tiny"
    return "cnn_large" if inputs.ndim == 4 else "hist_gradient_boosting"
