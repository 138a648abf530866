"""What a task is: the one protocol through which every stage of a run knows what the nets predict.

A folder of ``tasks/`` holds everything that is specific to a task; the other folders know only this file.

Shapes: N rows, B rows of a batch, S seeds. One row's output has the shape ``OutputSpec.shape``: (C,) log-probabilities
of C classes, (K,) values of K targets, (D,) coordinates of a vector. What a task *records* of an output may be smaller
than the output: a language model keeps sums over a document's tokens, not windows x tokens x classes.

Where a row has no label, or its label is withheld, int64 targets are -1 and float32 targets are NaN
(``types.has_label``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]
Link = Literal["softmax", "sigmoid", "identity"]  # what turns outputs into probabilities; identity: they are values
Record = Mapping[str, NDArray[Any]]  # what is kept of one net's outputs on a split: arrays (N, ...) by name
OUTPUTS = "outputs"  # the name in a record of the outputs themselves, float32 (N, *shape)
TEMPERATURE = (
    "temperature"  # the name of a net's fitted temperature (N,), the same for all rows; see ``Task.temperature``
)
TEACHER = "teacher"  # the arm of the main teacher
REAL_ROWS, FREE_ROWS, ALL_ROWS = "real", "free", "all"  # variants of a run with made rows; see ``Control.variant``
FRESH_ROWS = "fresh"  # the variant with all rows of the data that are in no other part: [data] rows left some out
SINGLE = "-"  # the seed of an arm that is one net, such as a teacher


BETTER, NON_INFERIOR, INCONCLUSIVE, WORSE = "better", "non_inferior", "inconclusive", "worse"
VERDICTS = (BETTER, NON_INFERIOR, INCONCLUSIVE, WORSE)  # from good to bad
UNTESTED = "untested"  # in place of a verdict, where no test row has a label: nothing was compared with the truth
_SHOWN = {NON_INFERIOR: "no worse within {margin}", INCONCLUSIVE: "cannot tell", UNTESTED: "not tested"}


def show_verdict(verdict: str, margin: str = "m") -> str:
    """A verdict in words, with the margin as it is written; an unknown verdict is returned unchanged.

    >>> show_verdict("non_inferior", "1 point"), show_verdict("inconclusive")
    ('no worse within 1 point', 'cannot tell')
    """
    return _SHOWN[verdict].format(margin=margin) if verdict in _SHOWN else verdict


class OutputSpec(NamedTuple):
    """What a net gives for one row."""

    shape: tuple[int, ...]  # without the batch axis
    names: tuple[str, ...] = ()  # of the last axis, in order: classes, targets; empty where they have none

    @property
    def width(self) -> int:
        """Length of the last axis."""
        return self.shape[-1]


class Statistic(NamedTuple):
    """A measure of one net as the mean of one number for each row.

    A measure that is no mean, such as macro F1 or a ratio of two sums, is its own value plus the first-order effect
    (the influence) of each row: the mean is then exactly the measure, and resampling the numbers resamples the measure
    to first order.
    """

    components: Floats  # (N,)
    rows: int  # number of rows that count; 0 where the measure is not defined, and the components are NaN


class Measure(NamedTuple):
    """The name and the unit of a measure, and the meaning of one row's number."""

    label: str  # in tables: "accuracy"; "{of}" is replaced by the part of the name behind ":", such as a class
    unit: Literal["share", "nats", "target", ""] = ""  # share: written in per cent and points; target: the user's units
    higher: bool = True  # whether more is better
    bounds: tuple[float, float] = (0.0, np.inf)  # of the measure itself, and so of its interval
    comparative: tuple[str, str] = ("better in {label}", "worse in {label}")  # "... is 3.2 points {more accurate} than"
    row: Literal["hit", "value", "effect"] = "effect"  # 0 or 1; a number of the row alone; an effect on the whole
    proportion: bool = False  # whether it counts rows, so that the interval of a share fits it
    listed: bool = False  # a measure of fidelity that is also among the measures of an arm


class Question(NamedTuple):
    """A comparison of two arms; the first question of a task that a run can answer is its headline."""

    a: str
    b: str
    asks: Literal["gain", "loss"]  # is a better than b? is a no worse than b by more than the margin?
    measure: str | None = None  # None: the run's headline measure


class Control(NamedTuple):
    """One way to train the student, or a rival of it: its name, its words, and what it may see."""

    name: str  # of its folder in fits/, its key in scores.json
    label: str  # in tables and charts
    sentence: str  # in a sentence; "{labels}" becomes the number of labels, "{model}" the simple model that was chosen
    # training rows: with a visible label, with any label, all, all that are real
    rows: Literal["labelled", "known", "all", "real"] = "labelled"
    labels: Literal["visible", "known", "none"] = "visible"
    teacher: str | None = None  # the teacher's arm whose answers it matches
    scratch: bool = False  # starts from random weights even if the student has given or derived ones
    trained: bool = True  # False: the student before training
    self_training: bool = False  # whether it is trained further on its own answers to rows without a visible label
    simple: bool = False  # whether it is the best of a few cheap models (``students.simple_candidates``), no student
    smoothing: Callable[[Any], float] | None = None  # of its labels, from the run's context; None: as in the recipe
    style: tuple[str, str] = ("arm-other", "cross")  # colour and shape of its mark in charts
    variant: str | None = None  # trained on other rows: the real ones, those of free makers, all there are, fresh ones
    step: Callable[..., Any] | None = None  # from student and context to its own training step
    seconds: bool = False  # whether it is also trained for the time that the teacher took to answer
    when: Callable[[Any], bool] | None = None  # whether a run (its context) has this control; None: every run
    needs: str = ""  # what a run without it lacks, as the end of a sentence: it is told that the control is left out

    def wanted(self, context: Any) -> bool:
        """Whether a run has this control."""
        return self.when is None or self.when(context)

    def smoothing_of(self, context: Any) -> float:
        """Label smoothing of its students."""
        return float(self.smoothing(context) if self.smoothing else context.recipe.training.label_smoothing)


class Section(NamedTuple):
    """One section of the report."""

    anchor: str  # of its heading, for links; a task's section replaces a shared one with the same anchor
    title: str  # in the contents of the page
    values: Callable[[Any], Any]  # from the run's files (``reporting.folder.RunFiles``) to what the template shows
    template: str  # Jinja, with the values as ``it``; a section without values is left out
    order: int  # on the page, ascending
    heading: str = ""  # of the section; empty: the title


class Streamed(NamedTuple):
    """What several nets answered to the rows of a part, as a task keeps it."""

    records: Mapping[str, Record]  # by net, arrays (D, ...) of the D things that are judged, such as documents
    targets: NDArray[Any]  # (D, ...)
    rows: NDArray[np.int64]  # (D,): the number of a row of the source in which each begins


class Judgement(Protocol):
    """The part of a task that judges its nets; ``tasks.judgement.Judge`` holds the defaults."""

    name: str
    controls: Mapping[str, Control]  # by name, in the order in which they are shown
    others: Mapping[str, Control]  # arms that are not trained here: teachers, arms that the judgement adds
    questions: tuple[Question, ...]
    rivals: tuple[str, ...]  # the arms without a teacher: the headline says better only if it holds against each
    measures: Mapping[str, Measure]  # by name
    logged: Mapping[
        str, Measure
    ]  # names in metrics.jsonl of validation figures that are no measures, or in other units
    headline: str  # the measure of the verdict if [evaluation] measure names none
    table: tuple[str, ...]  # the measures of the table of models, in the report and in the terminal
    part_measure: str  # of classes and groups, if the headline's number of a row is an effect on the whole
    choices: tuple[str, ...]  # what [evaluation] measure may name, without the part behind ":"
    gate_measures: tuple[str, ...]  # a teacher must be better than the baseline in the first; later ones break ties
    criteria: Mapping[str, Any]  # of a gate: ``evaluation.gate.Rule`` by name

    def measure(self, name: str) -> Measure:
        """The measure of a name such as "auc" or "sensitivity:sick@0.95"."""

    def check_measure(self, name: str, argument: str, names: Sequence[str]) -> None:
        """Refuse a wrong part behind ":"; ``names`` of classes or targets are empty where they are not known yet."""

    def record(self, outputs: Tensor) -> Record:
        """What the judgement keeps of a net's normalized outputs."""

    def check_targets(self, targets: NDArray[Any], names: Sequence[str]) -> None:
        """Refuse targets that cannot be judged."""

    def check_record(self, record: Record, targets: NDArray[Any], names: Sequence[str], rows: NDArray[Any]) -> str:
        """What is wrong with a record, as the rest of a sentence that begins with its name; "" if nothing is."""

    def prepare(self, records: Mapping[str, Mapping[str, Record]], valid: Any | None) -> dict[str, dict[str, Record]]:
        """Records by arm and seed as the measures read them, and the arms that the judgement adds.

        ``valid`` is ``evaluation.Predictions`` of the same arms on validation rows, for what is fitted there.
        """

    def quality(self, record: Record, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Statistic]:
        """Measures of a prepared record against the targets."""

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """Measures of a prepared record against the teacher's; their names differ from those of ``quality``."""

    def statistic(self, name: str, record: Record, targets: NDArray[Any], names: Sequence[str]) -> Statistic | None:
        """A measure that is computed only if the run asks for it; None if ``quality`` or ``fidelity`` has it."""

    def scale(self, name: str, targets: NDArray[Any]) -> float:
        """The value of which the margin is a share, in the units of the measure; 1 for shares."""

    def parts(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, dict[str, Floats]]:
        """Parts of the rows that are judged one by one, such as "classes": 0/1 columns (N,) by name."""

    def details(self, context: Any, arm: str) -> dict[str, Any]:
        """Further content of an arm's entry in ``scores.json``; ``context`` is ``evaluation.context.Context``."""

    def facts(self, context: Any) -> dict[str, Any]:
        """Further content of ``scores.json``."""

    def alarm(self, context: Any) -> str:
        """What makes the student useless, in a sentence, such as one answer for all rows; "" where nothing does."""

    def examine(
        self, teacher: Record, baseline: Record | None, targets: NDArray[Any], names: Sequence[str]
    ) -> dict[str, Any]:
        """What the gate finds in a teacher's answers to labelled rows; ``baseline`` if these are validation rows."""

    def problems(self, finding: Mapping[str, Any]) -> list[dict[str, str]]:
        """The findings against the teacher: ``finding`` and ``cure``, a sentence each."""

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """Whether normalized outputs of the same rows differ by no more than rounding."""

    def distance(self, student: Record, teacher: Record) -> Floats:
        """Distance of two nets on each row, (N,): the report shows the rows with the largest."""


class Task(Judgement, Protocol):
    """What the nets of a run predict, and how that is learned, stored, judged, shown and shipped.

    ``tasks.base.BaseTask`` and ``tasks.judgement.Judge`` hold the defaults.
    """

    shipped: str  # the control whose student ships
    baseline: str  # the control to which the headline and the gate compare it
    method: tuple[Mapping[str, Any], ...]  # the default [[method]]
    reads: str  # the name of its outputs in the ``needs`` of methods; empty: no method matches them
    fits: tuple[str, ...]  # methods for students that are fitted at once
    sections: tuple[Section, ...]  # of the report
    monitor: str  # of ``validation``: lower is better, for [training] keep = "best"
    supervised: bool  # whether labels train; else only the judgement sees them
    binds: bool  # whether ``bind`` fits anything: then nets of runs with other labels have other units
    shift_invariant: bool  # whether a constant added to a row's outputs changes nothing
    stored: str  # name of the store's field that holds a teacher's outputs: "logits", "values"
    teachers: Any  # how models of all kinds are read as teachers: ``teachers.protocol.TaskTeachers``
    link: Link  # from a net's outputs to what ``soft_targets`` gives
    deployed: Any  # the class of what ships: ``tasks.predictor.Deployed``
    gates: bool  # whether the teacher is compared with the baseline before it is used
    explains: bool  # whether the report can explain what the student learned from the teacher
    full: bool  # whether ``evaluate --full`` adds anything
    surrogate: bool  # whether a tree of classes can explain a student
    marks_words: bool  # whether the words of a text can be ranked by their effect on an output
    streamed: bool  # whether a row's outputs are too many to be held: nets are recorded side by side, row by row
    nets: tuple[str, ...]  # names of students that only this task has; empty: those of the zoo
    own_text: Any  # the batches of [on_policy], of text that students write; None: they write none
    samples: Any  # from nets by name and data to what they write (``samples.json``); None: they write no text
    influence: Any  # how much a step on each training row lowers the loss on held-out rows; None: not defined

    def settle(self, recipe: Any) -> Any:
        """The recipe with the task's fixed settings and default method; refuses what the task does not have."""

    def place_method(self, entry: Any) -> Any:
        """A ``[[method]]`` entry with the task's layers; refuses a method that matches something else."""

    def matches(self, method: Any) -> bool:
        """Whether a method reads outputs of this kind, or none."""

    # Data
    def prepared(self, recipe: Any) -> Any:
        """The rows of a task that divides its data before it encodes them, ``data.Prepared``; None: as everywhere."""

    def students(self, recipe: Any, spec: OutputSpec, data: Any) -> Any:
        """How students are built, as ``pipeline.run.context.MakesStudents``; None: as everywhere."""

    def build_net(self, card: Mapping[str, Any]) -> nn.Module:
        """The net of a card ``{"of_task": ...}`` that ``students`` wrote, with random weights."""

    def ready_teacher(self, section: Any, spec: OutputSpec, data: Any, device: Any) -> Any:
        """The teacher of [teacher] hub or gguf, ``types.Teacher``; None: it is read as everywhere."""

    def stream(
        self,
        nets: Mapping[str, Callable[[Tensor], Tensor]],
        data: Any,
        part: str,
        most: int | None,
        advance: Callable[[int], None],
    ) -> Streamed:
        """Record several nets on the rows of a part, where ``streamed``.

        Args:
            nets: by name, from encoded rows (B, ...) to outputs; the first is the teacher.
            data: of the run.
            part: "valid" or "test", or "train".
            most: rows at most; None: all.
            advance: called with numbers of rows.
        """

    def read_targets(self, cells: Any, names: Sequence[str] | None) -> Any:
        """From ``data.targets.TargetCells`` and [data] classes to ``data.targets.Targets``."""

    def output_spec(self, targets: NDArray[Any], names: Sequence[str]) -> OutputSpec | None:
        """The output of a student's net; None: it has the shape of the teacher's."""

    def any_targets(self, targets: Tensor) -> Tensor:
        """Targets in which every row has a label, known or made up: to time a step."""

    def bind(self, targets: NDArray[Any], names: Sequence[str]) -> Task:
        """The task of one run, from its labelled training targets: what is fitted to them, such as their scale."""

    def enter(self, targets: Tensor) -> Tensor:
        """Targets in the units of training, from the user's units."""

    def enter_teacher(self, teacher: Any) -> Any:
        """A teacher in the units of training, from the user's units."""

    # Outputs
    def normalize(self, outputs: Tensor) -> Tensor:
        """Log-probabilities, values, or vectors of unit length, to be compared; float32, same shape."""

    def whole_outputs(self, outputs: Tensor, width: int) -> Tensor:
        """Outputs of the user's own student in the form (B, width), where they say the same in a shorter one."""

    def draft(self, recipe: Any, model: Any, **settings: Any) -> dict[str, Any]:
        """How a run's student does as a draft for its teacher; refuses students that write no text.

        Args:
            recipe: of the run.
            model: what shipped, with its encoder.
            settings: see ``pipeline.draft``.
        """

    def check_student(self, outputs: Tensor, spec: OutputSpec) -> None:
        """Refuse outputs of the user's own student that have another shape or kind; they may carry a graph."""

    # Training
    def loss(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        smoothing: float = 0.0,
        weight: Any = 1.0,
        count: int | None = None,
        row_weights: Tensor | None = None,
    ) -> Tensor:
        """Loss on the labels, a scalar: the mean over labelled rows times ``weight``; 0 if there are none.

        ``count`` is the number of labelled rows (or tokens) if the caller knows it; None: the loss counts them.
        ``row_weights`` (B,) say how much the loss of each row counts; the mean divides by the number of rows.
        """

    def balanced(self, targets: Tensor, weights: Tensor | None) -> Tensor:
        """Weights (N,) that let every class count alike among the labelled rows; refuses targets without classes."""

    def validation(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Figures to watch in training; ``monitor`` is among them."""

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, spec: OutputSpec, label_weight: float, method_weight: float
    ) -> Tensor:
        """The targets (N, *shape) of a student that is fitted at once."""

    def simple_models(self, shape: tuple[int, ...], outputs: int, text: bool, taught: bool) -> Any:
        """Cheap models (``students.Member``) for encoded rows of a shape; ``text``: token ids.

        ``taught``: they are fitted to a teacher's answers, not to labels.
        """

    def temperature(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> float | None:
        """By what normalized outputs are divided to fit their confidence to labelled rows; None: they have none.

        ``weights`` (N,) say how much each row counts.
        """

    def pseudo_labels(
        self, outputs: Tensor, targets: Tensor, valid: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Targets (N, ...) with a net's own answers in place of unknown ones where it is sure; and facts for a log.

        Args:
            outputs: normalized, of the N training rows.
            targets: of these rows; -1 or NaN where the label is unknown or withheld.
            valid: normalized outputs and targets of validation rows, which choose how sure it must be.
        """

    def judged(self, outputs: NDArray[Any]) -> Floats:
        """Normalized outputs (N, *shape) as measures of single nets read them, float64."""

    def explanation(self, records: Any, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """The task's own part of ``explanation.json``."""

    # What ships
    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> Any:
        """What ships: a ``tasks.predictor.Deployed`` of the trained net, from the run's context and the net's card."""
