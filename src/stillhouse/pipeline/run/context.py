"""What every stage of a run is given: recipe, task, data, views, methods, students, teacher, run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data import Mixed, Prepared, Rows, Stream, TextEncoder, Views
from stillhouse.data.columns import IDENTIFIER
from stillhouse.data.encoders.made import rows_of
from stillhouse.data.source import as_shown
from stillhouse.engine import Budget, Device, device_of
from stillhouse.errors import RejectedError, UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.run.folder import RunFolder
from stillhouse.recipe import BATCH, Recipe, StudentTraining, Training
from stillhouse.students.families import Member
from stillhouse.task import OutputSpec, Task
from stillhouse.types import has_label

DEFAULT_STEPS = 1000
WATCHED = 4  # validation rows that training watches, where outputs are too many to be held for all


class Given(NamedTuple):
    """What came from Python in place of a section of the recipe."""

    teacher: Any = None
    student: Any = None
    data: Any = None
    methods: Callable[[], list[tuple[str, Method, float]]] | None = None
    allow_code: bool = False  # whether ``python:`` names of the recipe may be imported and run
    overwrite: bool = False  # whether a run of another recipe makes room
    views: Any = None  # a function that makes views


class MakesStudents(Protocol):
    """How the students of a run are built; see ``student.factory.StudentFactory``."""

    card: dict[str, Any]  # how to build one again without weights; empty for the user's own
    derived: dict[str, Any] | None  # the settings of a student cut out of its teacher
    pretrained: bool  # whether it starts with weights from elsewhere
    origin: Callable[[], tuple[nn.Module, dict[str, Any]]] | None  # the teacher that a derived student is cut out of
    notes: list[str]  # what was chosen, for run.json

    def make(self) -> nn.Module:
        """The student as a fit starts with it; weights that are drawn follow torch's global seed."""

    def scratch(self) -> nn.Module:
        """The same net with weights drawn again."""

    def built_card(self) -> dict[str, Any]:
        """How to build the shipped student again; empty for the user's own module."""


NOTHING = Given()


class MadePart(NamedTuple):
    """Training rows of one ``[[made]]`` entry."""

    name: str  # of the maker
    start: int  # its rows among the training rows
    stop: int
    share: float | None  # of a batch; None: as many as they are
    free: bool = True  # whether the maker needs no training
    rounds: tuple[int, ...] = ()  # of a trained one, how many rows are of each round


@dataclass(frozen=True)
class RunContext:
    """All that the stages need, unpacked from the recipe once."""

    recipe: Recipe
    task: Task
    spec: OutputSpec  # of every student's output
    data: Prepared  # as the teacher reads them; see ``student.reading``
    views: Views
    students: MakesStudents
    make_methods: Callable[[], list[tuple[str, Method, float]]]
    teacher: Any  # given from Python: a module, a fitted model, a function, several of these; else [teacher] is built
    run: RunFolder
    student_text: TextEncoder | None = None  # how students read texts; None: as the teacher does, as in ``data``
    fitted: str | None = None  # name of a student that is fitted at once, not trained by steps
    whole: Prepared | None = None  # where the student may use a part of the real rows: all, for a teacher trained here
    made: tuple[MadePart, ...] = ()  # rows that were made; they are the last of the training rows

    @property
    def real_rows(self) -> int:
        """How many of the training rows are real."""
        return self.made[0].start if self.made else len(self.data.train.targets)

    def made_among(self, kept: NDArray[np.bool_]) -> tuple[MadePart, ...]:
        """The parts of made rows, where only the flagged training rows are kept."""
        before = np.concatenate([[0], np.cumsum(kept)])
        return tuple(part._replace(start=int(before[part.start]), stop=int(before[part.stop])) for part in self.made)

    @property
    def learning(self) -> RunContext:
        """The run as a teacher that is trained here learns in it: with all real rows and no made ones."""
        if self.whole is None:
            return self
        views = replace(self.views, pool=None if self.views.pool is None else self.whole.train.inputs)
        return replace(self, data=self.whole, views=views, whole=None, made=())

    @property
    def places(self) -> NDArray[np.int64]:
        """For each training row its position in the rows that a teacher learns from, -1: it is not among them."""
        whole = self.data if self.whole is None else self.whole
        return rows_of(whole.split, self.data.split.train)

    def stream(self, rows: Tensor, *, batch_size: int, seed: int, views: int) -> Stream:
        """The order of training on these rows; made rows with a share of their own have it in each batch."""
        parts = [(rows[(rows >= p.start) & (rows < p.stop)], p.share) for p in self.made if p.share is not None]
        fixed = [(some, share) for some, share in parts if len(some)]
        order = self.recipe.training.order
        if not fixed:
            return Stream(rows, batch_size=batch_size, seed=seed, views=views, order=order)
        rest = rows[~torch.isin(rows, torch.cat([some for some, _ in fixed]))]
        taken = sum(share for _, share in fixed)
        left = 1 - taken if len(rest) else 0.0
        shared = [(some, share * (1 - left) / taken) for some, share in fixed]
        parts = [(rest, left), *shared] if len(rest) else shared
        return Mixed(parts, batch_size=batch_size, seed=seed, views=views, order=order)

    @property
    def labelled(self) -> Tensor:
        """Positions in the training rows that keep their label for the student."""
        return torch.from_numpy(self.data.split.labelled_positions())

    def simple(self, *, taught: bool) -> list[Member]:
        """The cheap models for these rows, to be fitted to labels, or ``taught`` by the teacher's answers."""
        text, inputs = self.data.encoder.text, self.data.train.inputs
        if text is None and not inputs.is_floating_point():  # the user's own token ids: nothing is known of them
            return []
        own = {} if text is None else {"vocabulary": text.vocabulary}
        found = self.task.simple_models(tuple(inputs.shape[1:]), self.spec.width, text is not None, taught)
        return [member._replace(settings={**member.settings, **own}) for member in found]

    @property
    def device(self) -> torch.device:
        """Where nets answer, and are trained if their own table names no other device."""
        return device_of(self.recipe.training.device)

    @property
    def watched(self) -> Rows | None:
        """The validation rows that training watches; None where none has a label to watch it by."""
        valid = self.data.valid
        if self.task.streamed:  # their outputs are held while they are watched
            valid = valid.take(torch.arange(min(WATCHED, len(valid.targets))))
        return valid if not self.task.supervised or has_label(valid.targets).any() else None

    @property
    def column_types(self) -> dict[str, str]:
        """The type of each column of a table, as it was found or given; empty for other data."""
        return self.data.encoder.types | dict.fromkeys(self.data.source.identifiers, IDENTIFIER)

    def raw(self, part: str) -> Any:
        """The rows of "train", "valid" or "test" as a teacher is shown them."""
        return self.data.source.shown(getattr(self.data.split, part))

    def decode(self, inputs: Tensor) -> Any:
        """Encoded rows as a teacher is shown them; cells that no encoder gives back are those of the first row."""
        original, cells = self.data.source.original, self.data.encoder.decode(inputs)
        if original is None:
            return as_shown(cells, self.data.source.shown_types)
        return original.with_cells(original.take(np.zeros(len(inputs), np.int64)), cells)

    def shown(self, rows: NDArray[np.int64], inputs: Tensor | None = None) -> Any:
        """Training rows as a teacher is shown them; of their view with these inputs None where it decodes them."""
        source, numbers = self.data.source, self.data.split.train[rows]
        if inputs is None:
            return source.shown(numbers)
        if source.original is None:
            return None
        cells, before = (self.data.encoder.decode(some) for some in (inputs, self.data.train.inputs[rows]))
        return source.original.with_cells(source.original.take(numbers), cells, before)


def budget_of(training: Training, rows: int, device: Device = "auto", keep: Literal["last", "best"] = "last") -> Budget:
    """The budget of a fit on ``rows`` training rows; ``device`` is that of the run, where the fit names none.

    A batch that the recipe does not name is no larger than the rows; ``keep`` counts where the recipe says nothing.

    Raises:
        RejectedError: there are fewer rows than the batch that the recipe names.
    """
    batch = training.batch_size or min(BATCH, rows)
    if rows < batch:
        raise RejectedError(
            f"There are {rows} training rows, fewer than one batch of {batch}. Set `[training] batch_size = "
            f"{max(1, rows // 2)}` or less, or remove that line."
        )
    steps = training.steps or (training.epochs * -(-rows // batch) if training.epochs else DEFAULT_STEPS)
    kept = training.keep or ("best" if training.patience else keep)
    patience = training.patience or max(1, steps // 2)
    return Budget(
        steps,
        batch,
        training.lr,
        training.weight_decay,
        device if training.device == "auto" else training.device,
        training.precision,
        training.checkpoint_every,
        training.log_every,
        training.compile,
        kept,
        training.keep_every,
        patience if kept == "best" else None,
        slices_of(training, batch),
    )


def slices_of(training: Training, batch: int) -> int | None:
    """Into how many slices a step is cut; None: it is not.

    Raises:
        UsageError: a slice would have fewer than two rows.
    """
    slices = training.parts if isinstance(training, StudentTraining) else None
    if slices is not None and batch < 2 * slices:
        raise UsageError(
            f"[training] {slices} slices of a batch of {batch} rows have fewer than two rows each. Set `[training] "
            f"batch_size = {2 * slices}` or more, or fewer slices and devices."
        )
    return slices
