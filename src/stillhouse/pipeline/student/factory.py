"""How students are built: from the zoo, as large as a budget allows, cut out of the teacher, or the user's own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from stillhouse import students
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.run.user_code import CODE, own_net
from stillhouse.pipeline.student.config import build, given_weights
from stillhouse.pipeline.student.own import NetMaker, own_student
from stillhouse.pipeline.student.scratch import drawn_again
from stillhouse.recipe import Recipe, StudentSection
from stillhouse.students.budget import largest_within
from stillhouse.students.families import FAMILIES
from stillhouse.students.numeric import numeric_columns, shown
from stillhouse.task import Link, Task


@dataclass
class StudentFactory:
    """How the students of a run are made.

    Attributes:
        build: builds one as a fit starts with it: random, or with the weights it is given.
        card: how to build it again without weights; empty for the user's own.
        derived: the settings of a student cut out of its teacher, else None.
        pretrained: whether it starts with weights from elsewhere.
        origin: the teacher that a derived student is cut out of: its module, trained where it is trained already.
        probe: inputs on which layers and units are scored.
        link: what the teacher's outputs are, for these scores.
    """

    build: NetMaker
    card: dict[str, Any]
    derived: dict[str, Any] | None = None
    pretrained: bool = False
    origin: Callable[[], tuple[nn.Module, dict[str, Any]]] | None = None
    probe: Tensor | None = None
    link: Link = "softmax"
    notes: list[str] = field(default_factory=list)  # what was chosen, for run.json
    own: bool = False  # whether the user's own code builds it
    fresh: NetMaker | None = None  # builds it with random weights, where ``build`` gives it others

    def make(self) -> nn.Module:
        """The student as a fit starts with it; weights that are drawn follow torch's global seed."""
        return self.cut()[0] if self.derived is not None else self.build()

    def scratch(self) -> nn.Module:
        """The same net with weights drawn again; refuses one that keeps some of them."""
        return self.fresh() if self.fresh is not None else drawn_again(self.make())

    def cut(self) -> tuple[nn.Module, dict[str, Any]]:
        """A derived student, and the card that builds it again."""
        from stillhouse.students.derive import derive, format_map

        assert self.derived is not None
        if self.origin is None:
            raise UsageError("[student.derive] needs a teacher that is a net: a zoo name, a module, or [teacher] hub.")
        teacher, card = self.origin()
        made = derive(copy.deepcopy(teacher), probe=self.probe, link=self.link, **self.derived)
        self.notes = [*made.notes, *format_map(made.map).splitlines()]
        return made.module, card

    def built_card(self) -> dict[str, Any]:
        """How to build the shipped student again; empty for the user's own module."""
        if self.derived is None:
            return self.card
        card = self.cut()[1]
        return {"from": card, "derive": self.derived | {"choose": "first"}} if card else {}


def make_students(
    section: StudentSection,
    given: Any,
    *,
    shape: tuple[int, ...],
    outputs: int,
    vocabulary: int | None,
    allow_code: bool,
    rows: Tensor | None = None,
) -> StudentFactory:
    """Find how students are made.

    Args:
        section: [student].
        given: the user's own module or function, or None.
        shape: of one encoded row.
        outputs: width of the output.
        vocabulary: number of token ids, for texts.
        allow_code: whether ``python:`` names may be run.
        rows: encoded training rows, to which embeddings of numbers are fitted.

    Raises:
        UsageError: a wrong name, setting or file, or nothing that fits the budget.
    """
    if given is not None:
        return StudentFactory(own_student(given), {}, pretrained=isinstance(given, nn.Module), own=True)
    if section.derive.wanted:
        return derived(section)
    default = "mlp_tiny" if vocabulary is None else students.DEFAULT_OF_TEXTS
    name, settings = section.name or default, dict(section.settings)
    if name.startswith(CODE):
        return StudentFactory(lambda: own_net(name, allow_code, shape, outputs, settings), {}, own=True)
    students.check_reads(name, shape, text=vocabulary is not None)
    if vocabulary is not None and "vocabulary" in students.defaults(name):
        settings.setdefault("vocabulary", vocabulary)
    if rows is not None and rows.is_floating_point() and "columns" in students.defaults(name):
        settings.setdefault("columns", numeric_columns(rows))
    notes = []
    if section.budget.wanted:
        name, settings, why = within(section, name, settings, shape, outputs)
        notes.append(why)
    card = {"name": name, "settings": settings, "shape": list(shape)}

    def make() -> nn.Module:
        return build(card, outputs) if rows is None else shown(build(card, outputs), rows)

    made = StudentFactory(make, card, notes=notes)
    made.make()  # a wrong name or setting is reported now, not after the teacher was trained
    return started(made, section.start) if section.start is not None else made


def derived(section: StudentSection) -> StudentFactory:
    """A student cut out of its teacher; it cannot be built before the teacher is known."""
    if section.name is not None or section.start is not None or section.budget.wanted:
        raise UsageError("[student.derive] defines the whole student: remove [student] name, start and budget.")

    if section.derive.vocabulary is not None:
        raise UsageError("[student.derive] vocabulary is for language models. Remove the line.")

    def build() -> nn.Module:
        raise UsageError("[student.derive] needs a teacher that is a net.")

    return StudentFactory(build, {}, derived=section.derive.model_dump(), pretrained=True)


def within(
    section: StudentSection, name: str, settings: dict[str, Any], shape: tuple[int, ...], outputs: int
) -> tuple[str, dict[str, Any], str]:
    """The largest member of the family that fits the budget, measured here, and a sentence about it."""
    family = section.family or next((key for key, some in FAMILIES.items() if name in {m.name for m in some}), name)
    limits = section.budget.model_dump()
    kept = {key: value for key, value in settings.items() if key == "vocabulary"}
    found = largest_within(family, shape=shape, outputs=outputs, settings=kept, **limits)
    cost = f"{found.parameters:,} parameters, {found.bytes:,} bytes, {found.latency_ms:.3g} ms a row"
    return found.name, found.settings, f"{found.name} {found.settings}: {cost}"


def started(made: StudentFactory, weights: Path) -> StudentFactory:
    """Students that start with the weights of a file."""
    tensors = given_weights(weights, "[student] start")

    def build() -> nn.Module:
        net = made.build()
        try:
            net.load_state_dict(tensors)
        except RuntimeError as error:
            raise RejectedError(
                f"[student] start: {weights} does not fit {made.card['name']!r}: {str(error).splitlines()[-1].strip()} "
                "Give weights of this net with these settings."
            ) from error
        return net

    build()
    return StudentFactory(build, made.card, pretrained=True, notes=made.notes, fresh=made.build)


def fitted_name(recipe: Recipe, card: dict[str, Any], task: Task) -> str | None:
    """The name of a student that is fitted at once, not trained by steps: a tree or a linear model. None for nets.

    Raises:
        UsageError: the task has no such students, or a method matches more than the teacher's outputs.
    """
    name = card.get("name")
    if name is None or not students.is_fitted(name):
        return None
    if not task.fits:
        raise UsageError(f"[student] name = {name!r} is fitted at once, and this task trains nets. Take a net.")
    odd = [entry.name for entry in recipe.method if entry.name not in task.fits]
    if odd:
        raise UsageError(
            f"The student {name!r} is fitted to the teacher's outputs, and {odd[0]!r} matches something else. "
            f'Write `[[method]] name = "{task.fits[0]}"`, or take a net.'
        )
    if recipe.training.keep_every is not None:
        raise UsageError(
            f"[training] keep_every = {recipe.training.keep_every}: the student {name!r} is fitted at once, not in "
            "steps, so there are no weights in between. Remove the line."
        )
    return str(name)


def size_of(module: nn.Module) -> int:
    """Learned numbers of a net, fitted numbers of a linear model, or nodes of trees."""
    size = getattr(module, "size", None)
    return int(size) if isinstance(size, int) else sum(p.numel() for p in module.parameters())
