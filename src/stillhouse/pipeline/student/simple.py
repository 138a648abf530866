"""The simple rivals: the best of a few cheap models, fitted at once to labels or to the teacher's answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse import students
from stillhouse.data import TextEncoder, encoded_again
from stillhouse.data.targets import known
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.student.figures import figures_of
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.students.families import Member
from stillhouse.types import has_label

VOCABULARY = 32_768  # token ids: most words are one token
LONGEST = 2048  # tokens of a text that a simple model reads: with more, few texts differ and memory grows
COMPARED = 1000  # rows to which a candidate is fitted before it is chosen
LEAST_COMPARED = 2  # rows to fit: of one, none is left to compare candidates on
FOLDS = 5  # of the labelled rows, where no validation row can choose; their answers are measured together


class Chosen(NamedTuple):
    """The simple model that was chosen."""

    member: Member
    net: nn.Module
    seconds: float  # of the last fit
    tried: dict[str, list[float | None]]  # by model, the best first: its measures on the rows that chose


class Problem(NamedTuple):
    """Rows and targets to which the candidates are fitted."""

    inputs: Tensor  # (N, ...) of all training rows
    soft: Tensor  # (N, *shape): see ``Task.soft_targets``; only ``rows`` are read
    targets: Tensor  # (N, ...): the visible labels
    rows: Tensor  # int64: rows to fit
    weights: Tensor | None  # (N,)


def whole_texts(context: RunContext) -> RunContext:
    """The run as simple models read it: texts are not cut at [data] tokens, and their words are hardly cut into pieces.

    On 20 Newsgroups with 300 labels a vocabulary of 32,768 gave logistic regression three points more than one of
    8,192. Rows that are no texts stay as they are.
    """
    encoder, source = context.data.encoder.text, context.data.source
    if encoder is None or not isinstance(source.raw, np.ndarray):
        return context
    texts = source.take(context.data.split.train)
    finer = TextEncoder.fit(texts, vocabulary=VOCABULARY, length=LONGEST)
    longest = int((finer.encode(texts) != 0).sum(1).max())
    longer = TextEncoder.from_tokenizer(finer.tokenizer_json, length=max(longest, encoder.length))
    return replace(context, data=encoded_again(context.data, longer))


def choose(context: RunContext, members: Sequence[Member], problem: Problem, seed: int) -> Chosen:
    """Fit every candidate and keep the best: on validation rows, else on labelled rows that a fit has not seen."""
    if len(members) == 1 or len(problem.rows) < LEAST_COMPARED:
        return fitted_best(context, [([], members[0])], problem, seed)
    comparisons = comparison_rows(context, problem, seed)
    if not comparisons:
        return nearest_to_targets(context, members, problem, seed)
    truth = np.concatenate([targets for *_, targets in comparisons])
    found: list[tuple[list[float], Member]] = []
    for member in members:
        answers = []
        for rows, inputs, _ in comparisons:
            net = fit_one(context, member, problem._replace(rows=some_of(rows, seed)), seed)
            answers.append(net_outputs(net, inputs, context.task))
        found.append((figures_of(context, np.concatenate(answers), truth), member))
    return fitted_best(context, found, problem, seed)


def fitted_best(context: RunContext, found: list[tuple[list[float], Member]], problem: Problem, seed: int) -> Chosen:
    """The best of the candidates, of equals the first, fitted to all rows."""
    found.sort(key=lambda one: one[0], reverse=True)
    begun = time.perf_counter()
    net = fit_one(context, found[0][1], problem, seed)
    tried = {described(member): [x if np.isfinite(x) else None for x in figures] for figures, member in found}
    return Chosen(found[0][1], net, time.perf_counter() - begun, tried)


def some_of(rows: Tensor, seed: int) -> Tensor:
    """At most ``COMPARED`` of the rows: enough to choose a model, whose fit then gets all of them."""
    return shuffled(rows, seed)[:COMPARED] if len(rows) > COMPARED else rows


def shuffled(rows: Tensor, seed: int) -> Tensor:
    """The rows in an order that is drawn."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]


def comparison_rows(context: RunContext, problem: Problem, seed: int) -> list[tuple[Tensor, Tensor, NDArray[Any]]]:
    """Rows to fit, and inputs and targets (in the user's units) on which candidates are compared; none without labels.

    Without validation rows that is one fold of the labelled rows after the other. Where few of the rows to fit have a
    label, such as a teacher's answers, all labelled ones are left out at once.
    """
    data = context.data
    valid = data.source.targets[data.split.valid]
    if known(valid).any():
        rows = np.flatnonzero(known(valid))
        return [(problem.rows, data.valid.inputs[torch.from_numpy(rows)], valid[rows])]
    labelled = problem.rows[has_label(problem.targets[problem.rows])]
    if not len(labelled):
        return []
    order = shuffled(labelled, seed)
    folds = [order] if len(order) <= len(problem.rows) // 2 else order.chunk(min(FOLDS, len(order)))
    truth = data.source.targets[data.split.train]
    return [
        (problem.rows[~torch.isin(problem.rows, some)], problem.inputs[some], truth[some.numpy()]) for some in folds
    ]


def nearest_to_targets(context: RunContext, members: Sequence[Member], problem: Problem, seed: int) -> Chosen:
    """Where no row has a label: the candidate with the least squared error to the targets of rows it has not seen."""
    held, rest = shuffled(problem.rows, seed).tensor_split([max(1, len(problem.rows) // FOLDS)])
    turns: dict[str, Callable[[Tensor], Tensor]] = {"softmax": torch.exp, "sigmoid": torch.sigmoid}
    turn = turns.get(context.task.link, torch.clone)
    found = []
    for member in members:
        net = fit_one(context, member, problem._replace(rows=rest), seed)
        answers = turn(torch.from_numpy(net_outputs(net, problem.inputs[held], context.task)))
        found.append(([-float((answers - problem.soft[held]).square().nanmean())], member))
    return fitted_best(context, found, problem, seed)


def fit_one(context: RunContext, member: Member, problem: Problem, seed: int) -> nn.Module:
    """A candidate, fitted to the rows of a problem."""
    rows, weights = problem.rows, problem.weights
    return students.fit_soft(
        member.name,
        inputs=problem.inputs[rows],
        targets=problem.soft[rows],
        weights=None if weights is None else weights[rows],
        settings=member.settings,
        seed=seed,
        link=context.task.link,
    ).eval()


def described(member: Member) -> str:
    """A candidate with its settings."""
    settings = ", ".join(f"{key} = {value}" for key, value in member.settings.items())
    return f"{member.name} ({settings})" if settings else member.name
