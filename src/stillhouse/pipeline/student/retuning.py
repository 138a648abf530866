"""A control that knows less than the shares of the classes is broken, and no rival: it is trained again.

Stronger weight decay and fewer steps are tried, and validation rows choose. Only nets that learn without a teacher are
examined: a strawman would make the distilled student look good.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.data import Rows
from stillhouse.engine import Budget
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.student.outputs import net_outputs
from stillhouse.task import OutputSpec, Task
from stillhouse.types import has_label, in_eval

CARD = "retuned.json"  # in the folder of a fit that was broken
FOLDER = "again"  # of the fits that were tried in its place, numbered from 1
WORSE = 1.05  # times the loss of one answer for all rows: closer may be chance
LOOKS = 20  # of a try on the validation rows, at least
TRIES = ((0.1, 1), (1.0, 1), (0.1, 4), (1.0, 4))  # weight decay, and by what the steps are divided


class Retuned(NamedTuple):
    """A control that was trained again."""

    net: nn.Module  # the best, in eval mode; the first of equals
    card: dict[str, Any]  # ``loss`` at first, ``least`` (of one answer for all rows), ``tried``, ``chosen`` (0: none)


def retuned(
    net: nn.Module,
    context: RunContext,
    targets: Tensor,
    budget: Budget,
    train: Callable[[int, Budget], nn.Module],
    agreed: Callable[[Sequence[float]], list[float]] = list,
) -> Retuned | None:
    """Train a broken control again; None where it is not broken, or no validation row can tell.

    Args:
        net: as it was trained, on the CPU.
        context: of the run.
        targets: that it saw, of all training rows.
        budget: by which it was trained.
        train: trains it again from its first weights; the number of the try, from 1, names its files.
        agreed: the numbers that the first of several processes has found.
    """
    task, valid = context.task, context.watched
    # Balanced classes are taught with other shares than the validation rows have.
    if valid is None or not len(valid.targets) or not task.supervised or task.streamed:
        return None
    if context.recipe.training.class_weight != "none":
        return None
    first, least = agreed([loss_of(net, task, valid), constant_loss(task, context.spec, targets, valid)])
    if first <= WORSE * least:
        return None
    nets, tried = [net], []
    for number, (decay, less) in enumerate(TRIES, 1):
        stronger = max(decay, budget.weight_decay)
        steps = max(1, budget.steps // less)
        often = min(budget.log_every, max(1, steps // LOOKS))  # the best weights may be early ones
        again = replace(budget.part(steps), keep="best", weight_decay=stronger, log_every=often)
        nets.append(train(number, again))
        tried.append(
            {"weight_decay": stronger, "steps": again.steps, "loss": agreed([loss_of(nets[-1], task, valid)])[0]}
        )
    losses = [first, *(one["loss"] for one in tried)]
    best = losses.index(min(losses))
    return Retuned(in_eval(nets[best]), {"loss": first, "least": least, "tried": tried, "chosen": best})


def loss_of(net: nn.Module, task: Task, valid: Rows) -> float:
    """The figure that training watches, of a net on the CPU."""
    kept = has_label(valid.targets)
    outputs = torch.from_numpy(net_outputs(in_eval(net), valid.inputs[kept], task))
    return task.validation(outputs, valid.targets[kept])[task.monitor]


def constant_loss(task: Task, spec: OutputSpec, targets: Tensor, valid: Rows) -> float:
    """The same figure of one answer for all rows: the shares of the classes or labels, or the mean of the values.

    Args:
        task: of the run.
        spec: of the outputs.
        targets: the training targets that a control sees; shares are counted with one more row of each class.
        valid: rows on which it is measured.
    """
    labels = task.soft_targets(targets[has_label(targets)], None, spec, 1.0, 0.0).double()
    known, sums = (~labels.isnan()).sum(0), labels.nansum(0)
    if task.link == "identity":
        answer = sums / known.clamp(min=1)
    elif task.link == "softmax":
        answer = ((sums + 1) / (known + spec.width)).log()
    else:
        answer = ((sums + 1) / (known + 2)).logit()
    kept = has_label(valid.targets)
    rows = answer.float().expand(int(kept.sum()), *answer.shape)
    return task.validation(rows, valid.targets[kept])[task.monitor]


def card_of(folder: Path) -> dict[str, Any]:
    """How a fit was trained again; empty where it was not."""
    file = folder / CARD
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def chosen(folder: Path) -> Path:
    """Where the log is of the net that was kept of a fit."""
    number = card_of(folder).get("chosen", 0)
    return folder / FOLDER / str(number) if number else folder


def sentence(label: str, cards: Mapping[str, dict[str, Any]]) -> str:
    """What happened to the seeds of an arm.

    >>> tried = [{"weight_decay": 1.0, "steps": 250, "loss": 0.85}]
    >>> sentence("Labels only", {"3": {"loss": 2.713, "least": 0.894, "tried": tried, "chosen": 1}})
    'Labels only (seed 3) was broken: its loss on validation rows was 2.71, and one answer for all rows has 0.894. It was trained again with stronger weight decay and fewer steps, and has 0.85.'
    """  # noqa: E501
    first, least = max(card["loss"] for card in cards.values()), next(iter(cards.values()))["least"]
    now = max(min([card["loss"], *(one["loss"] for one in card["tried"])]) for card in cards.values())
    which = f"seed{'s' * (len(cards) > 1)} {', '.join(cards)}"
    return (
        f"{label} ({which}) was broken: its loss on validation rows was {first:.3g}, and one answer for all rows has "
        f"{least:.3g}. It was trained again with stronger weight decay and fewer steps, and has {now:.3g}"
        f"{'.' if now <= least else ': that is still no rival.'}"
    )
