"""What a task is: the one protocol by which every stage of a run knows what the nets answer.

A task is a folder of ``tasks/`` that holds all that is particular to it; the rest of the house knows this page only.

Shapes: N rows, B rows of a batch, S seeds. One row's output has the shape ``OutputSpec.shape``: (C,) log-probabilities
of C classes, (K,) values of K targets, (D,) coordinates of a vector. What a task *records* of an output may be smaller
than the output: a language model keeps sums over a document's tokens, not windows x tokens x classes.

Targets follow their type: int64 targets are -1, and float32 targets are NaN, where a row has no label or its label is
withheld (``types.has_label``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

Floats = NDArray[np.float64]
# What outputs become before they are compared with targets: probabilities of classes or of labels, or what they are
Link = Literal["softmax", "sigmoid", "identity"]
Record = Mapping[str, NDArray[Any]]  # what is kept of one net's outputs on a split: arrays (N, ...) by name
OUTPUTS = "outputs"  # the name in a record of the outputs themselves, float32 (N, *shape)
TEACHER = "teacher"  # the arm of the main teacher
SINGLE = "-"  # the seed of an arm that is one net, such as a teacher


BETTER, NON_INFERIOR, INCONCLUSIVE, WORSE = "better", "non_inferior", "inconclusive", "worse"
VERDICTS = (BETTER, NON_INFERIOR, INCONCLUSIVE, WORSE)  # from good to bad
_SHOWN = {NON_INFERIOR: "no worse within {margin}", INCONCLUSIVE: "cannot tell"}


def show_verdict(verdict: str, margin: str = "m") -> str:
    """A verdict as words for people; one that is not known is shown as it is written.

    Args:
        verdict: one of ``VERDICTS``.
        margin: as it is written: "1 point".

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
    """A measure of one net as the mean of one number a row.

    A measure that is no mean, such as macro F1 or a ratio of two sums, is written as itself plus the first-order effect
    (the influence) of each row; the mean is then the measure exactly, and resampling the numbers is resampling the
    measure to first order.
    """

    components: Floats  # (N,)
    rows: int  # how many of the N rows it rests on; 0 where it is not defined, and the components are NaN


class Measure(NamedTuple):
    """How a measure is called and written, and what one row's number of it is."""

    label: str  # in tables: "accuracy"; "{of}" is replaced by the part of the name behind ":", such as a class
    unit: Literal["share", "nats", "target", ""] = ""  # share: written in per cent and points; target: the user's units
    higher: bool = True  # whether more is better
    bounds: tuple[float, float] = (0.0, np.inf)  # of the measure itself, and so of its interval
    comparative: tuple[str, str] = ("better in {label}", "worse in {label}")  # "... is 3.2 points {more accurate} than"
    row: Literal["hit", "value", "effect"] = "effect"  # 0 or 1; a number of the row alone; an effect on the whole
    proportion: bool = False  # whether it counts rows, so that the interval of a share fits it
    listed: bool = False  # of fidelity: stands among the measures of an arm too


class Question(NamedTuple):
    """Two arms and what is asked about them; the first question of a task that a run can answer is its headline."""

    a: str
    b: str
    asks: Literal["gain", "loss"]  # is a better than b? is a no worse than b by more than the margin?
    measure: str | None = None  # None: the run's headline measure


class Control(NamedTuple):
    """One way to train the student, stated once: its name, its words, and what it may see."""

    name: str  # of its folder in fits/, its key in scores.json
    label: str  # in tables and charts
    sentence: str  # in a sentence; "{labels}" is replaced by the number of labels, such as "200 labels"
    rows: Literal["labelled", "known", "all"] = "labelled"  # which training rows: with a visible label, with any, all
    labels: Literal["visible", "known", "none"] = "visible"  # which labels
    teacher: str | None = None  # the teacher's arm whose answers it matches
    scratch: bool = False  # starts from random weights where the student has given or derived ones
    trained: bool = True  # False: the student as it starts
    smoothing: Callable[[Any], float] | None = None  # of its labels, from the run's context; None: as the recipe says
    style: tuple[str, str] = ("arm-other", "cross")  # colour and shape of its mark in charts
    step: Callable[..., Any] | None = None  # from student and context to a training step of its own
    when: Callable[[Any], bool] | None = None  # whether a run (its context) has this control; None: every run

    def wanted(self, context: Any) -> bool:
        """Whether a run has this control."""
        return self.when is None or self.when(context)

    def smoothing_of(self, context: Any) -> float:
        """Label smoothing of its students."""
        return float(self.smoothing(context) if self.smoothing else context.recipe.training.label_smoothing)


class Section(NamedTuple):
    """One section of the report: a file of its own."""

    anchor: str  # of its heading, for links; a task's section takes the place of a shared one with the same anchor
    title: str  # in the contents of the page
    values: Callable[[Any], Any]  # from the run's files (``reporting.folder.RunFiles``) to what the template shows
    template: str  # Jinja, with the values as ``it``; the section is left out where the values are empty
    order: int  # on the page: from the least to the greatest
    heading: str = ""  # of the section; empty: the title


class Predictor(Protocol):
    """What ships: a student with its preprocessing, for raw rows."""

    net: nn.Module
    encoder: Any

    def predict(self, rows: Any) -> NDArray[Any]:
        """Answers (N, ...) of raw rows, as the user's labels are."""

    def write_answers(self, rows: Any, out: Any, files: Sequence[str] | None = None) -> None:
        """Write the answers to raw rows into a file."""

    def save(self, folder: Any) -> None:
        """Write weights and card."""


class Judgement(Protocol):
    """The part of a task by which its nets are judged; ``tasks.judgement.Judge`` holds what most tasks share."""

    name: str
    controls: Mapping[str, Control]  # by name, in the order in which they are shown
    others: Mapping[str, Control]  # the arms that are no students trained here: teachers, arms that the judgement adds
    questions: tuple[Question, ...]
    measures: Mapping[str, Measure]  # by name; the headline's choice falls through them in this order
    headline: str  # the measure of the verdict where [evaluation] measure names none
    table: tuple[str, ...]  # the measures of the table of models, in the report and in the terminal
    part_measure: str  # of classes and groups, where the headline's number of a row is an effect on the whole
    choices: tuple[str, ...]  # what [evaluation] measure may name, without the part behind ":"
    gate_measures: tuple[str, ...]  # by which a teacher must be better than the baseline; the later ones break ties
    criteria: Mapping[str, Any]  # of a gate: ``evaluation.gate.Rule`` by name

    def measure(self, name: str) -> Measure:
        """The measure of a name such as "auc" or "sensitivity:sick@0.95"."""

    def check_measure(self, name: str, argument: str, names: Sequence[str]) -> None:
        """Refuse a wrong part behind ":"; ``names`` of classes or targets are empty where they are not known yet."""

    def record(self, outputs: Tensor) -> Record:
        """What is kept of a net's normalized outputs for the judgement."""

    def check_targets(self, targets: NDArray[Any], names: Sequence[str]) -> None:
        """Refuse targets that cannot be judged."""

    def check_record(self, record: Record, targets: NDArray[Any], names: Sequence[str], rows: NDArray[Any]) -> str:
        """What is wrong with a record, as the rest of a sentence that begins with its name; "" where nothing is."""

    def prepare(self, records: Mapping[str, Mapping[str, Record]], valid: Any | None) -> dict[str, dict[str, Record]]:
        """Records of all arms and seeds as the measures take them, and the arms that the judgement adds.

        Args:
            records: by arm and seed.
            valid: ``evaluation.Predictions`` of the same arms on validation rows, for what is fitted there.
        """

    def quality(self, record: Record, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Statistic]:
        """Measures of a prepared record against the targets."""

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """Measures of a prepared record against the teacher's; their names differ from those of ``quality``."""

    def statistic(self, name: str, record: Record, targets: NDArray[Any], names: Sequence[str]) -> Statistic | None:
        """A measure that is computed only where the run asks for it; None where ``quality`` or ``fidelity`` has it."""

    def scale(self, name: str, targets: NDArray[Any]) -> float:
        """What the margin is a share of, in the units of the measure; 1 for shares."""

    def parts(self, targets: NDArray[Any], names: Sequence[str]) -> dict[str, dict[str, Floats]]:
        """Lists of parts of the rows that are judged one by one, such as "classes": 0/1 columns (N,) by name."""

    def details(self, context: Any, arm: str) -> dict[str, Any]:
        """What else an arm's entry in ``scores.json`` holds; ``context`` is ``evaluation.context.Context``."""

    def facts(self, context: Any) -> dict[str, Any]:
        """What else ``scores.json`` holds."""

    def examine(
        self, teacher: Record, baseline: Record | None, targets: NDArray[Any], names: Sequence[str]
    ) -> dict[str, Any]:
        """What the gate finds in a teacher's answers to labelled rows; ``baseline`` where these are validation rows."""

    def problems(self, finding: Mapping[str, Any]) -> list[dict[str, str]]:
        """What of it speaks against the teacher: ``finding`` and ``cure``, a sentence each."""

    def same_answers(self, together: NDArray[Any], apart: NDArray[Any]) -> bool:
        """Whether normalized outputs of the same rows differ by no more than rounding."""

    def distance(self, student: Record, teacher: Record) -> Floats:
        """How far apart two nets are on each row, (N,): the report shows the rows of the largest."""


class Task(Judgement, Protocol):
    """What the nets of a run answer, and how that is learned, kept, judged, shown and shipped.

    ``tasks.base.BaseTask`` and ``tasks.judgement.Judge`` hold what most tasks share; a task overrides what is its own.
    """

    shipped: str  # the control whose student ships
    baseline: str  # the control that it is compared with, by the headline and by the gate
    method: tuple[Mapping[str, Any], ...]  # the default [[method]]
    reads: str  # what methods call its outputs, in their ``needs``; empty: none matches them
    fits: tuple[str, ...]  # methods by which a student that is fitted at once (a tree) may match; empty: none may
    sections: tuple[Section, ...]  # of the report
    monitor: str  # of ``validation``: lower is better, for [training] keep = "best"
    supervised: bool  # whether labels train; else only the judgement sees them
    binds: bool  # whether ``bind`` fits anything: then nets of runs with other labels answer in other units
    shift_invariant: bool  # whether a constant added to a row's outputs changes nothing
    stored: str  # name of the store's field that holds a teacher's outputs: "logits", "values"
    teachers: Any  # how models of all kinds are read as teachers: ``teachers.protocol.TaskTeachers``
    link: Link  # from a net's outputs to what ``soft_targets`` gives
    deployed: Any  # the class of what ships: ``tasks.predictor.Deployed``
    gates: bool  # whether the teacher is examined against the baseline before it is used
    explains: bool  # whether what was handed over can be explained
    full: bool  # whether ``evaluate --full`` has more to judge
    surrogate: bool  # whether a tree of classes can stand for a student
    marks_words: bool  # whether the words of a text can be ranked by what they add to an output
    influence: Any  # how much a step on each training row lowers the loss on held-out rows; None: not defined

    def settle(self, recipe: Any) -> Any:
        """The recipe with what this task fixes, and the default method; refuses what the task does not have."""

    def place_method(self, entry: Any) -> Any:
        """A ``[[method]]`` entry with the layers that the task matches; refuses one that matches something else."""

    def matches(self, method: Any) -> bool:
        """Whether a method reads outputs of this kind, or none."""

    # Data
    def read_targets(self, cells: Any, names: Sequence[str] | None) -> Any:
        """From ``data.targets.TargetCells`` and [data] classes to ``data.targets.Targets``."""

    def output_spec(self, targets: NDArray[Any], names: Sequence[str]) -> OutputSpec | None:
        """What a student's net must give; None: the shape of the teacher's output."""

    def any_targets(self, targets: Tensor) -> Tensor:
        """Targets of which every row has a label, known or made up: to time a step."""

    def bind(self, targets: NDArray[Any], names: Sequence[str]) -> Task:
        """The task of one run, from its labelled training targets: what is fitted to them, such as their scale."""

    def enter(self, targets: Tensor) -> Tensor:
        """Targets as nets are trained on them, from the user's units."""

    def enter_teacher(self, teacher: Any) -> Any:
        """A teacher that answers in the user's units, as nets are trained."""

    # Outputs
    def normalize(self, outputs: Tensor) -> Tensor:
        """Outputs as they are compared: log-probabilities, values, vectors of unit length; float32, same shape."""

    def check_student(self, outputs: Tensor, spec: OutputSpec) -> None:
        """Refuse what the user's own student answered, where it is of another shape or kind."""

    # Training
    def loss(
        self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0, weight: Any = 1.0, count: int | None = None
    ) -> Tensor:
        """Loss on the labels, a scalar: the mean over labelled rows times ``weight``; 0 where there are none.

        ``count`` is the number of labelled rows (or tokens) where the caller knows it; None: the loss counts them.
        """

    def validation(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Figures to watch while a net is trained; ``monitor`` is among them."""

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, spec: OutputSpec, label_weight: float, method_weight: float
    ) -> Tensor:
        """What a student that is fitted at once is fitted to, (N, *shape)."""

    def judged(self, outputs: NDArray[Any]) -> Floats:
        """Normalized outputs (N, *shape) as measures of single nets take them, float64."""

    def explanation(self, records: Any, targets: NDArray[Any], names: Sequence[str]) -> dict[str, Any]:
        """The task's own part of ``explanation.json``."""

    # What ships
    def predictor(self, net: nn.Module, context: Any, card: dict[str, Any]) -> Any:
        """What ships: a ``tasks.predictor.Deployed`` of the trained net, from the run's context and the net's card."""
