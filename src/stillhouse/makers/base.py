"""What makers share: what they are told of a run's rows, and how pictures become rows.

A file of this folder that ends in ``MAKER = Class`` is a maker of that file's name; its first line is the help. Row i
of a maker follows from (i, seed) alone, so any number of processes, in any order, makes the same rows.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stillhouse.data.encoders.base import Encoder
from stillhouse.data.source import Ints, Kind, Raw
from stillhouse.data.splitmix import Words, stream, uniform, words
from stillhouse.data.summaries import Summary
from stillhouse.errors import UsageError
from stillhouse.folders import check_name, lines
from stillhouse.methods.base import Paper
from stillhouse.settings import built, parameters

FOLDER = "makers"
WHERE = "[[made]] name"
ROWS, GRADIENT, STATISTICS, CLASSES = "rows", "gradient", "statistics", "classes"
NEEDS = {
    ROWS: "real training rows",
    GRADIENT: "a teacher that can be differentiated",
    STATISTICS: "what each column holds",
    CLASSES: "a teacher that takes each row for one of several classes",
}
_COLOURS = 71  # stream of random words, after those of views

Pictures = NDArray[np.float32]  # (n, H, W) in [0, 1]: 0 is the background, 1 the ink


@dataclass(frozen=True)
class Form:
    """What a maker is told of the rows of a run."""

    kind: Kind
    encoder: Encoder
    low: tuple[float, ...] = (0.0,)  # of pictures, by channel: the encoded value of the background, dark or bright,
    high: tuple[float, ...] = (1.0,)  # and of the ink: the other end of the values in training
    real: Raw | None = None  # the real training rows that the run may use; None: none
    columns: Mapping[str, Summary] = field(default_factory=dict)  # of tables: what each column holds, without any row
    classes: bool = True  # whether the teacher takes each row for one of several classes

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of a picture."""
        height, width = self.encoder.shape[-2:]
        return height, width

    @property
    def channels(self) -> int:
        """Channels of a picture."""
        shape = self.encoder.shape
        return shape[0] if len(shape) == 3 else 1

    def from_pictures(self, pictures: Pictures, ids: Ints, seed: int) -> Raw:
        """Raw rows for grey pictures (n, H, W); where rows have several channels, ink and background get colours."""
        planes = pictures[:, None].repeat(self.channels, 1)
        if self.low > self.high:
            planes = 1 - planes
        if self.channels > 1:
            colours = uniform(stream(words(seed, _COLOURS, ids), 2 * self.channels)).astype(np.float32)
            back, ink = colours[:, : self.channels, None, None], colours[:, self.channels :, None, None]
            planes = back + (ink - back) * planes
        return self.from_planes(planes)

    def from_cells(self, cells: Mapping[str, NDArray[Any]]) -> Raw:
        """Raw rows from columns of cells: a frame, or an array; whole numbers where a column has no others."""
        import pandas as pd

        whole = {name for name, summary in self.columns.items() if summary.whole}
        found = {name: np.rint(column) if name in whole else column for name, column in cells.items()}
        if self.kind == "array":
            return np.stack([column.astype(np.float64) for column in found.values()], 1)
        return pd.DataFrame({name: pd.Series(column, dtype=column.dtype) for name, column in found.items()})

    def from_planes(self, planes: NDArray[np.float32]) -> Raw:
        """Raw rows for pictures (n, C, H, W) in [0, 1], of which 1 is the brightest."""
        low, high = (
            np.broadcast_to(np.asarray(ends, np.float32), (self.channels,))[:, None, None]
            for ends in sorted((self.low, self.high))
        )
        encoded = (low + (high - low) * planes).astype(np.float32)
        return self.encoder.decode(torch.from_numpy(encoded).reshape(len(planes), *self.encoder.shape))


class Maker:
    """One way to make rows. Its keyword arguments are the settings of its ``[[made]]`` entry."""

    paper: ClassVar[Paper | None] = None
    prior: ClassVar[str]  # what somebody had to know of the rows, in a sentence for the report
    needs: ClassVar[frozenset[str]] = frozenset()  # of ``NEEDS``; empty: the outputs of the teacher are enough
    kinds: ClassVar[frozenset[str]]  # kinds of data that it makes
    rank: ClassVar[int] = 0  # among the free makers of a kind, by what was measured: the greatest stands for the best

    def check(self, form: Form) -> None:
        """Refuse rows that this maker cannot make, beyond their kind."""

    def make(self, form: Form, ids: Ints, seed: int) -> Raw:
        """Make the raw rows of the given numbers; each follows from its number, the form and the seed."""
        raise NotImplementedError

    def key(self) -> str:
        """What determines the rows beside form, settings and seed, such as the content of a folder."""
        return ""


@dataclass(frozen=True)
class Workshop:
    """What a maker is given that is trained: one round of one entry of a run."""

    form: Form
    # From encoded rows to outputs (B, *shape), with a gradient; frozen, in eval mode. None: no gradient is needed.
    teacher: nn.Module | None
    width: int  # of its outputs
    scout: nn.Module | None  # a student of the rows so far, frozen; None in the first round
    number: int  # of the round, from 0
    seed: int
    folder: Path  # for the checkpoint and the log of the round
    identity: str  # of the round, within the run
    real: Tensor | None = None  # encoded real rows that the run may use, and the teacher's outputs for them
    answers: Tensor | None = None
    advance: Callable[[int], None] = lambda steps: None
    say: Callable[[str], None] = lambda line: None


class Trained(Maker):
    """A maker that is trained, in rounds."""

    needs = frozenset({GRADIENT, CLASSES})
    steps: int  # optimiser steps of a round
    batch_size: int  # rows of a step
    scout_steps: int = 300  # of the student that is the rival of the next round; 0: there is none

    def asked(self, count: int) -> int:
        """Rows that the teacher answers with a gradient in a round of so many rows."""
        return self.steps * self.batch_size

    def make_round(self, shop: Workshop, ids: Ints) -> Raw:
        """Train, and make the raw rows of these numbers; the same call resumes a stopped training bit for bit."""
        raise NotImplementedError


class Card(NamedTuple):
    """What is known of a maker."""

    name: str
    makes: str
    needs: list[str]
    kinds: list[str]
    prior: str
    paper: str
    settings: dict[str, Any]
    text: str

    def __str__(self) -> str:
        facts = [
            f"{self.name}: {self.text}",
            f"Makes: {', '.join(self.kinds)}",
            f"Needs: {', '.join(NEEDS[need] for need in self.needs) or 'the outputs of the teacher'}",
            f"Prior: {self.prior}",
        ]
        facts += [f"Paper: {self.paper}"] if self.paper else []
        facts += [f"Settings: {', '.join(f'{key} = {value!r}' for key, value in self.settings.items())}"]
        return "\n".join(facts if self.settings else facts[:-1])


def names() -> list[str]:
    """All makers, sorted."""
    return [name for name in lines(FOLDER) if hasattr(importlib.import_module(f"{__package__}.{name}"), "MAKER")]


def get(name: str) -> type[Maker]:
    """Return the class of a maker.

    Raises:
        UsageError: no maker has this name; the message names the nearest.
    """
    check_name(FOLDER, name, WHERE)
    module = importlib.import_module(f"{__package__}.{name}")
    if not hasattr(module, "MAKER"):
        raise UsageError(f"{WHERE}: there is no {name!r}. `stillhouse makers` lists all.")
    maker: type[Maker] = module.MAKER
    return maker


def make(name: str, **given: Any) -> Maker:
    """Build a maker with the settings of its ``[[made]]`` entry.

    Raises:
        UsageError: unknown maker, or a setting that is unknown, missing or wrong.
    """
    return built(f"[[made]] {name!r}", get(name), given)


def card(name: str) -> Card:
    """What is known of a maker."""
    maker, module = get(name), importlib.import_module(f"{__package__}.{name}")
    text = inspect.getdoc(module) or ""
    settings = {key: one.default for key, one in parameters(maker).items()}
    paper = "" if maker.paper is None else str(maker.paper)
    return Card(name, lines(FOLDER)[name], sorted(maker.needs), sorted(maker.kinds), maker.prior, paper, settings, text)


def free(form: Form, *, plain: bool = True) -> list[str]:
    """The makers of such rows that need neither training nor a gradient, the best measured first.

    Args:
        form: of the rows.
        plain: only those that need no setting, such as a folder of the user's.
    """
    have = {STATISTICS} | ({ROWS} if form.real is not None and len(form.real) else set())
    found = [name for name in names() if form.kind in get(name).kinds and get(name).needs <= have]
    found = [name for name in found if not issubclass(get(name), Trained)]
    if plain:
        found = [name for name in found if not any(p.default is p.empty for p in parameters(get(name)).values())]
    return sorted(found, key=lambda name: (-get(name).rank, name))


def draws(seed: int, purpose: int, ids: Ints, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), float64 (len(ids), count), each row from (seed, purpose, id) alone."""
    keys: Words = words(seed, purpose, ids)
    return uniform(stream(keys, count))
