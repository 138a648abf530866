"""Language modelling: the distribution of the token that follows, matched at each position of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.recipe import Recipe
from stillhouse.students import Member
from stillhouse.task import OutputSpec
from stillhouse.tasks.base import BaseTask
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.tasks.classification.targets import read_targets
from stillhouse.tasks.language_modelling import losses, reading, teachers
from stillhouse.tasks.language_modelling.drafting import draft_run
from stillhouse.tasks.language_modelling.judgement import LanguageJudge
from stillhouse.tasks.language_modelling.own_text import own_text
from stillhouse.tasks.language_modelling.predictor import DeployedLanguageModel
from stillhouse.tasks.language_modelling.records import stream
from stillhouse.tasks.language_modelling.report import SECTIONS
from stillhouse.tasks.language_modelling.samples import samples
from stillhouse.tasks.language_modelling.students import SIZES, CausalStudents, built, students

BATCH_WINDOWS, TEXT_WEIGHT, RATE = 4, 0.5, 1e-3
CODEC, BLOCK = "topk:32", 32  # what is kept of each token; windows that are written together
SERVED_CODEC = "topk:20"  # what a service lists, where its owner has not raised the limit


class LanguageModelling(LanguageJudge, BaseTask):
    """The token that follows, at each position of a window."""

    name = "language_modelling"
    method = ({"name": "forward_kl", "weight": 1.0, "temperature": 1.0},)
    reads = "logits"
    sections = SECTIONS
    monitor = losses.MONITOR
    shift_invariant = True
    stored = "logits"
    teachers = teachers
    link = "softmax"
    deployed = DeployedLanguageModel
    explains = False
    streamed = True
    nets = tuple(SIZES)

    read_targets = staticmethod(read_targets)
    loss = staticmethod(label_loss)
    validation = staticmethod(losses.validation)
    stream = staticmethod(stream)
    prepared = staticmethod(reading.prepared)
    own_text = staticmethod(own_text)
    samples = staticmethod(samples)

    def settle(self, recipe: Recipe) -> Recipe:
        """The recipe with the defaults of windows.

        Raises:
            UsageError: it asks for something that language models do not have.
        """
        recipe = super().settle(recipe)
        data, training = recipe.data, recipe.training
        for what, there in (
            ("[[assistant]]", bool(recipe.assistant)),
            ("[[made]]", bool(recipe.made)),
            ("[[teacher.member]]", bool(recipe.teacher.member)),
            ("[teacher] generations", recipe.teacher.generations > 1),
            ("[teacher] folds", recipe.teacher.folds is not None),
            ("[teacher] calls", recipe.teacher.calls is not None),
            ("[views] policy", recipe.views.policy != "none"),
            ("[data] labels", data.labels != "all"),
            ("[data] on_disk", data.on_disk),
            ("[data] order", data.order is not None),
            ("[data] weight", data.weight is not None),
            ("[evaluation] groups", bool(recipe.evaluation.groups)),
            ("[training] class_weight", training.class_weight != "none"),
            ('[training] keep = "best"', training.keep == "best"),
            ("[teacher] tune", recipe.teacher.tune != "none"),
        ):
            if there:
                raise UsageError(f"{what} has no meaning for language models here. Remove it.")
        if "label_weight" in training.model_fields_set and training.text_weight is None:
            raise UsageError(
                "[training] label_weight: the labels of a language model are its text. Write `text_weight = "
                f"{training.label_weight:g}`."
            )
        text_weight = TEXT_WEIGHT if training.text_weight is None else training.text_weight
        # The recipe in a run folder is settled again when the run goes on.
        own: dict[str, Any] = {"label_weight": text_weight, "text_weight": text_weight, "keep": "last"}
        own |= {"batch_size": training.batch_size or BATCH_WINDOWS}
        own |= {} if "lr" in training.model_fields_set else {"lr": RATE}
        kept = recipe.store.model_fields_set
        served = recipe.teacher.endpoint.url is not None
        store: dict[str, Any] = {} if "codec" in kept else {"codec": SERVED_CODEC if served else CODEC}
        store |= {} if "block_rows" in kept else {"block_rows": BLOCK}
        return recipe.model_copy(
            update={
                "training": training.model_copy(update=own),
                "store": recipe.store.model_copy(update=store),
                "teacher": recipe.teacher.model_copy(update={"calibrate": "none"}),
                "student": recipe.student.model_copy(update={"calibrate": "none"}),
            }
        )

    def output_spec(self, targets: NDArray[Any], names: Sequence[str]) -> OutputSpec | None:
        """None: the teacher says how many tokens there are."""
        return None

    def students(self, recipe: Recipe, spec: OutputSpec, data: Any) -> CausalStudents:
        """See ``students``."""
        return students(recipe, data)

    def build_net(self, card: Any) -> nn.Module:
        """See ``students.built``."""
        return built(card)

    def ready_teacher(self, section: Any, spec: OutputSpec, data: Any, device: Any) -> Any:
        """See ``reading.ready_teacher``."""
        return reading.ready_teacher(section, self, spec, data, device)

    def draft(self, recipe: Recipe, model: Any, **settings: Any) -> dict[str, Any]:
        """See ``drafting.draft_run``."""
        return draft_run(recipe, model, **settings)

    def check_student(self, outputs: Tensor, spec: OutputSpec) -> None:
        """Refuse logits of the user's own student that are not one row of classes for each position."""
        if outputs.ndim != 3 or tuple(outputs.shape[1:]) != spec.shape:
            raise UsageError(
                f"The student answered {tuple(outputs.shape)}; for windows (B, 2, {spec.shape[0]}) it must answer "
                f"logits (B, {spec.shape[0]}, {spec.shape[1]})."
            )

    def normalize(self, outputs: Tensor) -> Tensor:
        """Log-probabilities float32."""
        return outputs.float().log_softmax(-1)

    def pseudo_labels(
        self, outputs: Tensor, targets: Tensor, valid: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Refuse: the text is the label of every token."""
        raise UsageError("A language model's text has a label at every token. Remove self-training.")

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, spec: OutputSpec, label_weight: float, method_weight: float
    ) -> Tensor:
        """Refuse: no student is fitted at once."""
        raise UsageError("A language model is trained in steps.")

    def simple_models(self, shape: tuple[int, ...], outputs: int, text: bool, taught: bool) -> tuple[Member, ...]:
        """None."""
        return ()

    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> DeployedLanguageModel:
        """The language model that ships."""
        return DeployedLanguageModel(net, context.data.encoder, card)


TASK = LanguageModelling()
