"""The words on which the answers of teacher and student depend, in the texts of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillhouse.data import TextEncoder
from stillhouse.evaluation import words
from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.words import Asked, Reader
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.pipeline.teacher.answers import answers_of
from stillhouse.pipeline.teacher.endpoint import given_services
from stillhouse.pipeline.teacher.fitted_texts import whole_encoder
from stillhouse.task import Task
from stillhouse.teachers.fitted.teacher import FittedTeacher
from stillhouse.types import Teacher

MOST_MARKS = 5  # words of a text for each net
LEAST_EFFECT = 1e-4  # nats: less is no reason to mark a word, and more is little for a net that is sure


def asked_net(net: nn.Module, task: Task) -> Asked:
    """A net as a function from token ids to outputs."""
    return lambda ids: task.judged(net_outputs(net, ids, task))


def reader_of(teacher: Teacher, task: Task, encoder: TextEncoder) -> Reader:
    """A teacher that is asked about texts outside the training rows; one that reads whole texts about all their words.

    Args:
        teacher: of the run.
        task: of the run.
        encoder: of the rows of the run.
    """
    whole = whole_encoder(teacher)

    def ask(ids: Tensor) -> Floats:
        texts = None if whole is None else whole.decode(ids)
        inputs = ids if texts is None else encoder.encode(texts)
        return task.judged(answers_of(teacher, task, inputs, torch.full((len(ids),), -1), texts))

    return Reader(ask, whole or encoder)


def may_be_asked(teacher: Teacher) -> bool:
    """Whether a thousand more questions cost nothing: not to services, nor to functions that may call one."""
    members: Sequence[Any] = getattr(teacher, "teachers", [teacher])
    return not given_services(teacher) and not any(isinstance(one, FittedTeacher) for one in members)


def word_marks(texts: Sequence[str], classes: np.ndarray, nets: Mapping[str, Reader]) -> dict[str, np.ndarray]:
    """The words whose removal changes the log-probability of a class most, by net.

    Args:
        texts: (n,) as they were read.
        classes: (n,), the class of each.
        nets: by name.

    Returns:
        By net, ``<name>_spans``, int64 (n, 5, 2), where the words start and end in characters, -1 where there are
        fewer; and ``<name>_effects``, float64 (n, 5), in nats: what the word adds, the greatest change first.
    """
    found: dict[str, np.ndarray] = {}
    for name, net in nets.items():
        without = words.variants(net.encoder, texts)
        told = words.effects(net.ask, classes, without)
        spans, effects = np.full((len(texts), MOST_MARKS, 2), -1, np.int64), np.zeros((len(texts), MOST_MARKS))
        for row, (own, changes) in enumerate(zip(without.spans, told, strict=True)):
            most = np.argsort(-np.abs(changes), kind="stable")[:MOST_MARKS]
            most = most[np.abs(changes[most]) >= LEAST_EFFECT]
            spans[row, : len(most)], effects[row, : len(most)] = own[most], changes[most]
        found |= {f"{name}_spans": spans, f"{name}_effects": effects}
    return found
