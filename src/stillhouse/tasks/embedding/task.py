"""Embedding: one vector for each text, as from a pretrained embedder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse import methods
from stillhouse.errors import UsageError
from stillhouse.recipe import MethodEntry, Recipe
from stillhouse.students import Member
from stillhouse.taps import EMBEDDING
from stillhouse.task import OutputSpec
from stillhouse.tasks.base import BaseTask
from stillhouse.tasks.classification.targets import read_targets
from stillhouse.tasks.embedding import teachers
from stillhouse.tasks.embedding.contrast import no_loss
from stillhouse.tasks.embedding.judgement import EmbeddingJudge
from stillhouse.tasks.embedding.predictor import DeployedEmbedder
from stillhouse.tasks.embedding.report import SECTIONS

WHOLE = "."  # the tap path of a net's whole output: the vector that ships


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
        """The recipe without validation texts and without a loss on labels.

        Raises:
            UsageError: it asks for something that embedders do not have.
        """
        recipe = super().settle(recipe)
        for what, there in (
            ("[[assistant]]", bool(recipe.assistant)),
            ("[teacher] generations", recipe.teacher.generations > 1),
            ("[teacher] folds", recipe.teacher.folds is not None),
            ("[training] disagreement", recipe.training.disagreement > 0),
            ("[store] codec", recipe.store.codec != "dense"),
            ('[training] keep = "best"', recipe.training.keep == "best"),
        ):
            if there:
                raise UsageError(f"{what} has no meaning for embedders, which have no classes. Remove it.")
        if recipe.data.text is None:
            raise UsageError('Embedders are distilled on texts. Name a file of texts: `[data] text = "texts.csv"`.')
        data = recipe.data.model_copy(update={"valid": 0.0})
        return recipe.model_copy(
            update={"data": data, "training": recipe.training.model_copy(update={"label_weight": 0.0})}
        )

    def place_method(self, entry: MethodEntry) -> MethodEntry:
        """The entry, set to match the vectors that ship.

        Raises:
            UsageError: the method matches something other than embeddings, or the entry names layers.
        """
        kind: Any = methods.get(entry.name)
        layers = {"student_layer", "teacher_layer"}
        if set(kind.needs) != {EMBEDDING} or not layers <= set(inspect.signature(kind.__init__).parameters):
            raise UsageError(
                f"[[method]] name = {entry.name!r} does not match vectors, and an embedder has only vectors. "
                'Write `name = "embedding"`, or one of rkd, pkt, similarity.'
            )
        if layers & set(entry.settings):
            raise UsageError(
                f"[[method]] {entry.name!r}: an embedder matches the vectors that ship. Remove student_layer and "
                "teacher_layer."
            )
        settings = entry.settings | {"student_layer": WHOLE, "teacher_layer": EMBEDDING}
        return MethodEntry.model_validate({"name": entry.name, "weight": entry.weight} | settings)

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
        """The teacher's vectors; without one 0, for models that read the texts alone."""
        return torch.zeros(len(targets), spec.width) if teacher is None else teacher.float()

    def simple_models(self, shape: tuple[int, ...], outputs: int, text: bool, taught: bool) -> tuple[Member, ...]:
        """TF-IDF with a decomposition of the texts alone, or with ridge regression to the teacher's vectors."""
        return (Member("tfidf_linear", {"C": 10.0}) if taught else Member("tfidf_svd", {}),)

    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> DeployedEmbedder:
        """The embedder that ships."""
        return DeployedEmbedder(net, context.data.encoder, context.spec.width, card, context.data.source.column)


TASK = Embedding()
