"""A perceptron whose numbers are embedded first: a small net then bends as sharply along a column as trees split it.

Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning" (NeurIPS 2022): the
piecewise-linear encoding (equation 1) by quantiles of the training rows, and the periodic one (equation 2) with a
linear layer of each column and ReLU behind it ("PLR").
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stillhouse.students.bounds import fraction, one_of, whole
from stillhouse.students.perceptron import layers

EMBEDDINGS = ("piecewise", "periodic")
SPREAD = 0.3  # standard deviation of the frequencies as they are drawn
MOST_ROWS = 10_000  # by which quantiles are found
FAR = torch.finfo(torch.float32).max


def mlp_numeric(
    shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: Sequence[int] = (32,),
    dropout: float = 0.0,
    embedding: str = "piecewise",
    bins: int = 16,
    width: int = 8,
    columns: Sequence[int] = (),
) -> nn.Module:
    """MLP with embedded numbers: piecewise-linear or periodic (Gorishniy et al. 2022; 33,130 parameters for 64 inputs).

    Args:
        shape: Of one input; flattened.
        outputs: Width of the output.
        hidden: Sizes of the hidden layers.
        dropout: Behind each of them.
        embedding: ``"piecewise"`` or ``"periodic"``.
        bins: Pieces of a column, between quantiles of the training rows; of ``"periodic"`` the number of frequencies.
        width: Values that a column becomes, of ``"periodic"``.
        columns: Positions of the inputs that are embedded, the others stay as they are; empty: all. In a run they are
            those with more than two different values.
    """
    fraction("dropout", dropout)
    one_of("embedding", embedding, EMBEDDINGS)
    inputs, wanted = math.prod(shape), sorted({whole("columns", one, least=0) for one in columns})
    wanted = wanted or list(range(inputs))
    if wanted[-1] >= inputs:
        raise ValueError(f"columns = [..., {wanted[-1]}]: there are {inputs} inputs, numbered from 0")
    whole("bins", bins)
    whole("width", width)
    plain = embedding == "piecewise"
    embed = Piecewise(len(wanted), bins) if plain else Periodic(len(wanted), bins, width)
    wide = bins if plain else width
    net = nn.Sequential()
    net.add_module("flatten", nn.Flatten())
    net.add_module("embed", Embedded(embed, wanted, inputs))
    blocks, last = layers(inputs - len(wanted) + len(wanted) * wide, hidden, dropout)
    net.add_module("blocks", blocks)
    net.add_module("head", nn.Linear(last, outputs))
    return net


class Embedded(nn.Module):
    """Some of the inputs (B, F) embedded, behind the others, which stay as they are."""

    chosen: Tensor  # int64: positions of those that are embedded
    others: Tensor  # int64

    def __init__(self, embed: nn.Module, columns: Sequence[int], inputs: int) -> None:
        super().__init__()
        self.embed = embed
        self.register_buffer("chosen", torch.tensor(columns), persistent=False)
        others = [one for one in range(inputs) if one not in set(columns)]
        self.register_buffer("others", torch.tensor(others, dtype=torch.int64), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, F) to (B, others + columns * width)."""
        embedded = self.embed(inputs.index_select(1, self.chosen)).flatten(1)
        return torch.cat([inputs.index_select(1, self.others), embedded], 1)

    def see(self, rows: Tensor) -> None:
        """Fit to training rows (N, ...) what follows from the data."""
        if isinstance(self.embed, Piecewise):
            self.embed.see(rows.flatten(1).index_select(1, self.chosen))


class Piecewise(nn.Module):
    """The piecewise-linear encoding of columns (B, C): (B, C, T) with T pieces each.

    A value has 1 for each piece below its own, its share of its own piece, and 0 for those above. The first and the
    last piece go on beyond their ends. A column of fewer different quantiles has fewer pieces; the others are 0.
    """

    left: Tensor  # (C, T) float32: where a piece begins
    slope: Tensor  # (C, T) float32: one over its width; 0 of a piece that is none
    least: Tensor  # (C, T) float32
    most: Tensor  # (C, T) float32

    def __init__(self, columns: int, pieces: int) -> None:
        super().__init__()
        for name in ("left", "slope", "least", "most"):
            self.register_buffer(name, torch.zeros(columns, pieces))
        # Before any row was seen: quantiles of standard normal numbers, as encoded columns nearly are.
        inner = torch.special.ndtri(torch.arange(1, pieces) / pieces)
        edges = torch.cat([torch.tensor([-3.0]), inner, torch.tensor([3.0])])
        self._set([edges] * columns)

    def forward(self, values: Tensor) -> Tensor:
        """Columns (B, C) to (B, C, T)."""
        shares = (values.unsqueeze(-1) - self.left) * self.slope
        return torch.minimum(torch.maximum(shares, self.least), self.most)

    def see(self, values: Tensor) -> None:
        """Find the quantiles of columns (N, C)."""
        some = values[:: max(1, len(values) // MOST_ROWS)].double()
        steps = torch.linspace(0, 1, self.left.shape[1] + 1, dtype=torch.float64)
        self._set([column.quantile(steps).float().unique() for column in some.T])

    def _set(self, edges: Sequence[Tensor]) -> None:
        for name in ("left", "slope", "least", "most"):
            getattr(self, name).zero_()
        for column, ends in enumerate(edges):
            pieces = len(ends) - 1
            if not pieces:  # a column of one value
                continue
            self.left[column, :pieces], self.slope[column, :pieces] = ends[:-1], 1 / (ends[1:] - ends[:-1])
            self.most[column, :pieces] = 1.0
            self.least[column, 0], self.most[column, pieces - 1] = -FAR, FAR


class Periodic(nn.Module):
    """Sines and cosines of columns (B, C) at learned frequencies, then a linear layer of each column and ReLU."""

    def __init__(self, columns: int, frequencies: int, width: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(SPREAD * torch.randn(columns, frequencies))
        bound = (2 * frequencies) ** -0.5
        self.weight = nn.Parameter(torch.empty(columns, 2 * frequencies, width).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, width).uniform_(-bound, bound))

    def forward(self, values: Tensor) -> Tensor:
        """Columns (B, C) to (B, C, width)."""
        angles = 2 * math.pi * values.unsqueeze(-1) * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], -1)
        return (torch.einsum("bcf,cfw->bcw", waves, self.weight) + self.bias).relu()


def numeric_columns(rows: Tensor) -> list[int]:
    """Positions of the flattened inputs (N, ...) with more than two different values."""
    flat = rows.flatten(1)[:: max(1, len(rows) // MOST_ROWS)]
    low, high = flat.amin(0), flat.amax(0)
    return torch.nonzero(((flat != low) & (flat != high)).any(0)).flatten().tolist()


def shown(net: nn.Module, rows: Tensor) -> nn.Module:
    """A net that has seen the training rows by which its embeddings are fitted; other nets as they are."""
    for part in net.modules():
        if isinstance(part, Embedded):
            part.see(rows)
    return net
