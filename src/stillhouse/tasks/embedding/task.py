"""Embedding: one vector for each text, as from a pretrained embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.recipe import MethodEntry, Recipe
from stillhouse.task import OutputSpec
from stillhouse.tasks.base import BaseTask
from stillhouse.tasks.classification.targets import read_targets
from stillhouse.tasks.embedding import settings, teachers
from stillhouse.tasks.embedding.contrast import no_loss
from stillhouse.tasks.embedding.judgement import EmbeddingJudge
from stillhouse.tasks.embedding.predictor import DeployedEmbedder
from stillhouse.tasks.embedding.report import SECTIONS


class Embedding(EmbeddingJudge, BaseTask):
    """One vector for each text."""

    name = "embedding"
    method = ({"name": "embedding", "weight": 1.0, "distance": "cosine"},)
    sections = SECTIONS
    monitor = ""
    supervised = False
    gates = False
    explains = False
    stored = "feature:embedding"
    teachers = teachers
    link = "identity"
    deployed = DeployedEmbedder

    read_targets = staticmethod(read_targets)  # categories, which only the judgement uses
    loss = staticmethod(no_loss)

    def settle(self, recipe: Recipe) -> Recipe:
        """See ``settings.settle``."""
        return settings.settle(super().settle(recipe))

    def place_method(self, entry: MethodEntry) -> MethodEntry:
        """See ``settings.place_method``."""
        return settings.place_method(entry)

    def output_spec(self, targets: NDArray[Any], names: Sequence[str]) -> OutputSpec | None:
        """The output of the teacher's vectors."""
        return None

    def check_student(self, outputs: Tensor, spec: OutputSpec) -> None:
        """Refuse vectors of another width than the teacher's."""
        if outputs.ndim != 2 or outputs.shape[1] != spec.width:
            raise UsageError(
                f"The student answered {tuple(outputs.shape)} for {len(outputs)} texts, but the teacher's vectors have "
                f"{spec.width} numbers. It must answer ({len(outputs)}, {spec.width})."
            )

    def validation(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Nothing: there are no validation texts."""
        return {}

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, spec: OutputSpec, label_weight: float, method_weight: float
    ) -> Tensor:
        """Refuse: no student of vectors is fitted at once."""
        raise UsageError("A tree gives no vectors. Use a net for texts.")

    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> DeployedEmbedder:
        """The embedder that ships."""
        return DeployedEmbedder(net, context.data.encoder, context.spec.width, card, context.data.source.column)


TASK = Embedding()
