"""A student with what it matches, ready for training: the methods are told the shapes of both nets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from stillhouse import methods
from stillhouse.engine import Step
from stillhouse.errors import UsageError
from stillhouse.methods.base import Method
from stillhouse.pipeline.run.context import RunContext
from stillhouse.taps import EMBEDDING, Taps, classifier_path, unwrap
from stillhouse.teachers import StoredTeacher, spec_of
from stillhouse.types import Batch, Outputs, Spec, evaluating, logits_of, withheld


class Asked(Protocol):
    """The teacher whose answers are stored."""

    @property
    def module(self) -> nn.Module:
        """The teacher as a module, whose last linear layer some methods reuse."""

    @property
    def example(self) -> Tensor:
        """Two rows as it reads them."""


def matched_step(student: nn.Module, context: RunContext, answers: StoredTeacher, teacher: Asked) -> Step:
    """The student with the recipe's methods, built from one batch of stored answers.

    Args:
        student: as its seed initialised it.
        context: of the run, as its students read it.
        answers: of the teacher.
        teacher: that gave them.
    """
    made, training = context.make_methods(), context.recipe.training
    inputs = context.data.train.inputs[:2]
    ships = any(ships_parts(m) for _, m, _ in made)
    layers = [path for _, method, _ in made for path in method.student_layers] + [EMBEDDING] * ships
    own = student_spec(student, inputs, layers, len(context.data.train.targets))
    head = head_of(teacher.module, teacher.example) if ships else None
    theirs = teacher_spec(answers, context, head)
    for _, method, _ in made:
        method.build(own, theirs)
    step = Step(
        student,
        made,
        loss=context.task.loss,
        label_weight=training.label_weight,
        label_smoothing=training.label_smoothing,
        balance=training.balance,
    )
    with evaluating(student), torch.no_grad():  # shows the taps the classifier: in training other layers may run too
        student(inputs)
    step.taps.take()
    return step


def ships_parts(method: Method) -> bool:
    """Whether parts of the method belong to what ships."""
    return type(method).deploy is not Method.deploy


def teacher_spec(answers: StoredTeacher, context: RunContext, head: nn.Module | None) -> Spec:
    """The teacher's shapes, from the stored answers to two rows."""
    rows, train = torch.arange(2), context.data.train
    batch = Batch(train.inputs[:2], withheld(train.targets[:2]), rows, torch.zeros_like(rows))
    return spec_of(answers.outputs(batch), rows=len(train.targets), head=head)


@torch.no_grad()
def student_spec(student: nn.Module, inputs: Tensor, layers: Sequence[str], rows: int) -> Spec:
    """The student's shapes, in eval mode so that nothing of it moves."""
    with evaluating(student), Taps(student, sorted(set(layers))) as taps:
        values = logits_of(student(inputs))
        features = taps.take()
        return spec_of(Outputs(values, features), rows=rows, classifier=taps.classifier)


def head_of(teacher: nn.Module, example: Tensor) -> nn.Module | None:
    """The classifier of a teacher that is a net, the ``nn.Linear`` that makes its outputs; None where it has none."""
    try:
        return unwrap(teacher).get_submodule(classifier_path(teacher, example))
    except UsageError:
        return None


def parts_card(context: RunContext, answers: StoredTeacher, teacher: Asked) -> dict[str, Any]:
    """What ``with_parts`` needs to build again what methods ship with the student; empty where they ship nothing.

    Names, settings and shapes alone: the weights lie beside it.
    """
    shipping = [e for e in context.recipe.method if ships_parts(methods.make(e.name, **e.settings))]
    head = head_of(teacher.module, teacher.example)
    if not shipping or not isinstance(head, nn.Linear):
        return {}
    spec = teacher_spec(answers, context, head)
    return {
        "methods": [{"name": e.name, "settings": e.settings} for e in shipping],
        "inputs": list(context.data.train.inputs.shape[1:]),
        "teacher": {
            "classes": spec.classes,
            "features": {path: list(shape) for path, shape in spec.features.items()},
            "head": {"in_features": head.in_features, "out_features": head.out_features, "bias": head.bias is not None},
        },
    }


def with_parts(student: nn.Module, card: dict[str, Any]) -> nn.Module:
    """The student as it ships, its weights not loaded yet.

    Args:
        student: a net as the run's students were before training.
        card: from ``parts_card``.
    """
    facts = card["teacher"]
    shapes = {path: tuple(shape) for path, shape in facts["features"].items()}
    teacher = Spec(facts["classes"], shapes, head=nn.Linear(**facts["head"]))
    made = [methods.make(entry["name"], **entry["settings"]) for entry in card["methods"]]
    layers = [path for method in made for path in method.student_layers] + [EMBEDDING]
    own = student_spec(student, torch.zeros(2, *card["inputs"]), layers, rows=0)
    for method in made:
        method.build(own, teacher)
        student = method.deploy(student)
    return student
