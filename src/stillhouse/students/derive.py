"""A student cut out of its teacher: fewer layers, units and ids, all with the teacher's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stillhouse.errors import UsageError
from stillhouse.students.anatomy import Block, anatomy
from stillhouse.students.importance import ask, block_scores
from stillhouse.students.stacks import Choice, block_paths, choose_layers, find_stack, keep_layers
from stillhouse.students.vocabulary_cut import cut_vocabulary, factorise
from stillhouse.students.width import narrow_blocks, narrow_channels
from stillhouse.task import Link


class MapRow(NamedTuple):
    """One parameter of the student."""

    student: str  # path
    teacher: str  # path; "" for a new one
    shape: tuple[int, ...]  # of the student's
    how: str  # "copied", "sliced [k of n, ...]" (an entry for each axis that lost something) or "factorised rank r"


@dataclass(frozen=True)
class Derived:
    """A student and its origin in the teacher."""

    module: nn.Module
    map: list[MapRow]
    notes: list[str]  # the choices made, and their effect on saving and on inputs
    layers: list[int] | None = None  # numbers of the teacher's layers that stayed
    ids: Tensor | None = None  # int64 (teacher's vocabulary,): the student's id, -1 where the id was dropped


@dataclass
class _Work:
    net: nn.Module
    link: Link
    notes: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    layers: list[int] | None = None
    ids: Tensor | None = None
    factorised: str | None = None


def derive(
    teacher: nn.Module,
    *,
    layers: int | Sequence[int] | None = None,
    choose: Choice = "alternate",
    width: float | int | None = None,
    heads: int | None = None,
    feedforward: float | None = None,
    embedding_rank: int | None = None,
    vocabulary: Tensor | None = None,
    probe: Tensor | None = None,
    link: Link = "softmax",
) -> Derived:
    """Cut a student out of its teacher.

    Which parts stay depends on the weights and the probe. How much stays depends on the other arguments alone: the same
    arguments give the same shapes with any weights. Units are chosen by ``importance.gate_scores`` where there is a
    probe, else by the size of their weights.

    Args:
        teacher: any module from encoded inputs to outputs; it is not changed.
        layers: how many blocks of the longest stack of equal blocks stay, or which; None: all.
        choose: how to choose them, where ``layers`` is a number; "importance" needs the probe.
        width: hidden units that stay: a share (float, in (0, 1]) or a number (int). In transformers, the same units
            everywhere, a multiple of the head size; in plain and residual nets, the channels of each group.
        heads: attention heads that stay in each block.
        feedforward: share of the hidden units of each block's feed-forward net that stays, in (0, 1].
        embedding_rank: rank of the product that replaces the token embedding.
        vocabulary: int64, token ids in use; the others lose their rows (``Derived.ids`` translates).
        probe: encoded inputs (B, ...), some tens of rows, on which importance is measured.
        link: what the teacher's outputs are: of classes ("softmax"), of independent labels ("sigmoid"), or values.

    Raises:
        UsageError: the net has no such part, or not so many; the message lists what it has.

    Example:
        >>> net = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.ReLU()) for _ in range(4)), nn.Linear(8, 3))
        >>> made = derive(net, layers=2)
        >>> made.layers, made.map[2]
        ([0, 2], MapRow(student='1.0.weight', teacher='2.0.weight', shape=(8, 8), how='copied'))
    """
    _check_share("feedforward", feedforward)
    _check_share("width", width if isinstance(width, float) else None)
    teacher = getattr(teacher, "_orig_mod", teacher)  # torch.compile's wrapper
    work = _Work(copy.deepcopy(teacher), link)
    if layers is not None:
        _keep(work, layers, choose, probe)
    if width is not None or heads is not None or feedforward is not None:
        _narrow(work, width, heads, feedforward, probe)
    if vocabulary is not None:
        done = cut_vocabulary(work.net, vocabulary)
        work.ids = done.table
        work.notes.append(f"vocabulary: {done.units:,} of {len(done.table):,} ids; inputs need `ids[inputs]`")
    if embedding_rank is not None:
        work.factorised = factorise(work.net, embedding_rank)
        work.notes.append(
            f"{work.factorised}: factorised at rank {embedding_rank}; build it by derive before loading weights"
        )
    if probe is not None:
        _try(work, probe)
    rows = parameter_map(work.net, teacher, work.renamed, work.factorised)
    return Derived(work.net, rows, work.notes, work.layers, work.ids)


def parameter_map(
    student: nn.Module, teacher: nn.Module, renamed: Mapping[str, str], factorised: str | None
) -> list[MapRow]:
    """Rows for every parameter of the student, in its order.

    Args:
        student: derived.
        teacher: the net it was derived from.
        renamed: path of a module of the student -> its path in the teacher, where they differ.
        factorised: path of the embedding that became a product.
    """
    origin = dict(teacher.named_parameters(remove_duplicate=False))
    rows = []
    for name, parameter in student.named_parameters():
        if factorised is not None and name.startswith(f"{factorised}."):
            rank = student.get_submodule(factorised)[0].weight.shape[1]  # type: ignore[index]
            rows.append(MapRow(name, f"{factorised}.weight", tuple(parameter.shape), f"factorised rank {rank}"))
            continue
        old = next((was + name[len(new) :] for new, was in renamed.items() if name.startswith(f"{new}.")), name)
        pairs = zip(parameter.shape, origin[old].shape, strict=True)
        sliced = ", ".join(f"{k} of {n}" for k, n in pairs if k != n)
        rows.append(MapRow(name, old, tuple(parameter.shape), f"sliced [{sliced}]" if sliced else "copied"))
    return rows


def format_map(rows: Sequence[MapRow]) -> str:
    """Text table of a parameter map, a line for each parameter.

    >>> print(format_map([MapRow("blocks.1.weight", "blocks.2.weight", (64, 32), "copied")]))
    student          shape    teacher          how
    blocks.1.weight  64 x 32  blocks.2.weight  copied
    """
    table = [("student", "shape", "teacher", "how")]
    table += [(row.student, " x ".join(map(str, row.shape)), row.teacher, row.how) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join(line.rstrip() for line in lines)


def _keep(work: _Work, layers: int | Sequence[int], choose: Choice, probe: Tensor | None) -> None:
    stack = find_stack(work.net)

    def scores() -> Tensor:
        if probe is None:
            raise UsageError(
                'choose = "importance" measures the layers on a probe, and there is none. Give `probe`, some tens of '
                'encoded rows, or write choose = "alternate".'
            )
        return block_scores(work.net, stack, probe, work.link)

    work.layers = choose_layers(layers, stack, choose, scores)
    work.renamed = keep_layers(work.net, stack, work.layers)
    work.notes.append(f"{stack.path or 'layers'}: kept {work.layers} of {stack.blocks} interchangeable layers")


def _narrow(
    work: _Work, width: float | int | None, heads: int | None, share: float | None, probe: Tensor | None
) -> None:
    blocks = _blocks(work.net)
    if blocks and all(block.attention for block in blocks):
        work.notes += narrow_blocks(work.net, blocks, width, heads, share, probe, work.link)
        return
    if heads is not None:
        raise UsageError(
            f"heads = {heads}: no attention with separate query, key and value projections was found in every layer of "
            f"{type(work.net).__name__}. Leave heads out."
        )
    if share is not None:
        work.notes += narrow_blocks(work.net, blocks, None, None, share, probe, work.link)
    if width is not None:
        work.notes += narrow_channels(work.net, width, probe, work.link)


def _blocks(net: nn.Module) -> list[Block]:
    try:
        stack = find_stack(net, least=1)
    except UsageError:  # then only channels can be narrowed
        return []
    return [anatomy(net, path) for path in block_paths(net, stack)]


def _try(work: _Work, probe: Tensor) -> None:
    """Run the student once: even if types and widths agree, the layers may not fit together."""
    rows = probe[:2]
    if work.ids is not None:
        rows = work.ids.to(rows.device)[rows].clamp_min(0)
    training = work.net.training
    try:
        with torch.no_grad():
            ask(work.net.eval(), rows)
    except (RuntimeError, IndexError, ValueError) as error:
        raise UsageError(
            f"The student does not run ({str(error).splitlines()[0]}): {'; '.join(work.notes)}. These parts cannot be "
            "left out of this net; name others, or fewer."
        ) from error
    finally:
        work.net.train(training)


def _check_share(name: str, share: Any) -> None:
    if share is not None and not 0.0 < share <= 1.0:
        raise UsageError(
            f"{name} = {share} is not a share: write a number above 0 and at most 1, such as {name} = 0.5."
        )
