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
Record = Mapping[str, NDArray[Any]]  # what is kept of one net's outputs on a split: arrays (N, ...) by name
OUTPUTS = "outputs"  # the name in a record of the outputs themselves, float32 (N, *shape)
TEACHER = "teacher"  # the arm of the main teacher
SINGLE = "-"  # the seed of an arm that is one net, such as a teacher


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
    """How a measure is called and written."""

    label: str  # in tables: "accuracy"
    unit: Literal["share", "nats", "target", ""] = ""  # share: written in per cent and points; target: the user's units
    higher: bool = True  # whether more is better
    bounds: tuple[float, float] = (0.0, np.inf)  # of the measure itself, and so of its interval
    comparative: tuple[str, str] = ("higher", "lower")  # "... is 3.2 points {more accurate} than ..."


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
    smoothing: float | None = None  # of its labels; None: [training] label_smoothing
    style: tuple[str, str] = ("arm-other", "cross")  # colour and shape of its mark in charts
    step: Callable[..., nn.Module] | None = None  # makes its training step, where it trains in a way of its own


class Section(NamedTuple):
    """One section of the report: a file of its own."""

    anchor: str  # of its heading, for links
    title: str
    values: Callable[[Any], Any]  # from the run's files (``reporting.folder.RunFiles``) to what the template shows
    template: str  # Jinja, with the values as ``it``; left out where the values are empty


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


class Task(Protocol):
    """What the nets of a run answer, and how that is learned, kept, judged, shown and shipped."""

    name: str
    controls: Mapping[str, Control]  # by name, in the order in which they are shown
    questions: tuple[Question, ...]
    measures: Mapping[str, Measure]
    headline: str  # the measure of the verdict where [evaluation] measure names none
    monitor: str  # of ``validation``: lower is better, for [training] keep = "best"
    method: tuple[Mapping[str, Any], ...]  # the default [[method]]
    shift_invariant: bool  # whether a constant added to a row's outputs changes nothing
    sections: tuple[Section, ...]
    criteria: Mapping[str, Any]  # of a gate: ``evaluation.gate.Rule`` by name

    # What is learned
    def read_targets(self, cells: Any, names: Sequence[str] | None, where: str) -> tuple[NDArray[Any], tuple[str, ...]]:
        """From the cells (N,) or (N, K) of the target columns to targets and the names of the outputs."""

    def output_spec(self, targets: NDArray[Any], names: Sequence[str]) -> OutputSpec:
        """What a student's net must give."""

    def check(self, outputs: Tensor, spec: OutputSpec, who: str) -> None:
        """Refuse outputs (B, ...) of another shape or kind; ``who`` begins the message: "The teacher"."""

    def normalize(self, outputs: Tensor) -> Tensor:
        """Outputs as they are compared: log-probabilities, values, vectors of unit length; float32, same shape."""

    def loss(
        self, outputs: Tensor, targets: Tensor, *, smoothing: float = 0.0, weight: Any = 1.0, count: int | None = None
    ) -> Tensor:
        """Loss on the labels, a scalar: the mean over labelled rows times ``weight``; 0 where there are none.

        ``count`` is the number of labelled rows (or tokens) where the caller knows it; None: the loss counts them.
        """

    def validation(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Figures to watch while a net is trained; ``monitor`` is among them."""

    def soft_targets(
        self, targets: Tensor, teacher: Tensor | None, label_weight: float, method_weight: float
    ) -> Tensor:
        """What a student that is fitted at once (a tree) is fitted to, (N, *shape)."""

    # How it is judged
    def record(self, outputs: Tensor) -> Record:
        """What is kept of a net's outputs for the judgement."""

    def quality(self, record: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """Measures against the targets."""

    def fidelity(self, record: Record, teacher: Record, targets: NDArray[Any]) -> dict[str, Statistic]:
        """Measures against the teacher."""

    def distance(self, student: Record, teacher: Record) -> Floats:
        """How far apart two nets are on each row, (N,): the report shows the rows of the largest."""
