"""Where each parameter of a derived student comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import nn


class MapRow(NamedTuple):
    """One parameter of the student."""

    student: str  # path
    teacher: str  # path; "" for a new one
    shape: tuple[int, ...]  # of the student's
    how: str  # "copied", "sliced [k of n, ...]" (an entry for each axis that lost something) or "factorised rank r"


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
        old = _old(name, renamed)
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


def _old(name: str, renamed: Mapping[str, str]) -> str:
    for new, old in renamed.items():
        if name.startswith(f"{new}."):
            return old + name[len(new) :]
    return name
