"""The embedder that students are matched to: asked once, as any teacher is."""

from __future__ import annotations

from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.pipeline.context import Ingredients
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.pipeline.teacher.build import kind_of
from stillhouse.pipeline.teacher.labeling import Teaching
from stillhouse.recipe import Recipe, TeacherSection
from stillhouse.taps import EMBEDDING
from stillhouse.task import OutputSpec
from stillhouse.tasks.embedding import teachers
from stillhouse.teachers import ModuleTeacher

TASK: Any = SimpleNamespace(name="embedding", shift_invariant=False, stored=f"feature:{EMBEDDING}", teachers=teachers)


class EmbedderTeaching(Teaching):
    """The teacher of a run of embedders.

    Args:
        run: the run folder.
        recipe: the recipe.
        have: the run's ingredients.
        net: the embedder.
        width: D of its vectors.
    """

    def __init__(self, run: RunFolder, recipe: Recipe, have: Ingredients, net: nn.Module, width: int) -> None:
        self.embedder, self.width = net, width
        super().__init__(run, recipe, have, "teacher", have.data.train.targets)

    @cached_property
    def teacher(self) -> ModuleTeacher:
        """The embedder as a teacher."""
        return ModuleTeacher(self.embedder, TASK, OutputSpec((self.width,)))

    @property
    def module(self) -> nn.Module:
        """The embedder."""
        return self.embedder

    def origin(self) -> tuple[nn.Module, dict[str, Any]]:
        """The net that a student is cut out of, and its card."""
        from stillhouse.tasks.embedding.predictor import embedder_card

        return self.embedder, {"embedder": embedder_card(self.embedder)}


def hub_teacher(section: TeacherSection) -> nn.Module:
    """The embedder that [teacher] hub names, in eval mode.

    Raises:
        UsageError: another kind of teacher, or one that is trained here.
        RejectedError: the model cannot be used.
    """
    from stillhouse.teachers.hub.loading import hub_embedder
    from stillhouse.teachers.hub.models import open_hub

    if kind_of(section) != "hub" or section.hub is None:
        raise UsageError(
            "Embedders are distilled from one that comes ready. Name its folder, or its name in the local cache: "
            '`[teacher] hub = "sentence-transformers/all-MiniLM-L6-v2"`, with `tune = "none"`.'
        )
    return hub_embedder(open_hub(section.hub, revision=section.revision)).eval()


@torch.inference_mode()
def width_of(net: nn.Module, inputs: Tensor) -> int:
    """D of a net's vectors, from one row."""
    return int(net(inputs[:1]).shape[-1])
