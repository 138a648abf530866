"""How two students of a language model's run compare: ratios and differences with intervals, from its predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.archives import open_npz

Floats = NDArray[np.float64]
Sums = Mapping[str, Floats]  # of one net, a number for each document
RESAMPLES, LEVEL = 4000, 0.95
DISTILLED, TEXT_ONLY, SAME_COMPUTE = "distilled", "text_only", "text_same_compute"


class Figure(NamedTuple):
    """A value with its interval."""

    value: float
    low: float
    high: float

    def shown(self, digits: int = 3) -> str:
        """``0.800 (0.780 to 0.820)``."""
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def kl(sums: Sums) -> float:
    """KL from the teacher in nats a token."""
    return float(sums["kl"].sum() / sums["tokens"].sum())


def bits(sums: Sums) -> float:
    """Bits per byte of text."""
    return float(sums["nll_bytes"].sum() / math.log(2) / sums["bytes"].sum())


def agreement(sums: Sums) -> float:
    """The share of tokens with the teacher's most probable one."""
    return float(sums["agreed"].sum() / sums["tokens"].sum())


def over(a: float, b: float) -> float:
    """A ratio."""
    return a / b


def minus(a: float, b: float) -> float:
    """A difference."""
    return a - b


def compared(
    folder: Path, measure: Callable[[Sums], float], join: Callable[[float, float], float], ours: str, theirs: str
) -> Figure:
    """Two arms of a run by a measure, the mean over paired seeds; the interval resamples documents, and seeds.

    Args:
        folder: of the run.
        measure: of the sums of one net.
        join: of both measures.
        ours: an arm.
        theirs: another arm.
    """
    with open_npz(folder / "predictions.npz") as file:
        found = {name: file[name] for name in file.files}
    seeds = sorted({name.split("/")[1] for name in found if name.startswith(f"{ours}/")})
    nets = {arm: [_sums(found, arm, seed) for seed in seeds] for arm in (ours, theirs)}

    def value(documents: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
        parts = [
            [measure({key: one[documents] for key, one in nets[arm][s].items()}) for s in chosen]
            for arm in (ours, theirs)
        ]
        return join(float(np.mean(parts[0])), float(np.mean(parts[1])))

    count, draw = len(next(iter(nets[ours][0].values()))), np.random.default_rng(0)
    drawn = [
        value(draw.integers(count, size=count), draw.integers(len(seeds), size=len(seeds))) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(value(np.arange(count), np.arange(len(seeds))), float(low), float(high))


def _sums(found: Mapping[str, Floats], arm: str, seed: str) -> dict[str, Floats]:
    names = ("tokens", "bytes", "nll_bytes", "kl", "agreed")
    return {name: np.asarray(found[f"{arm}/{seed}/{name}"], np.float64) for name in names}


def marks(folder: Path) -> list[tuple[str, Figure, str, bool]]:
    """What the distilled student of a run is to reach: what, the figure, the mark, and whether it is reached."""
    ratio, less = (
        compared(folder, kl, over, DISTILLED, TEXT_ONLY),
        compared(folder, bits, minus, DISTILLED, TEXT_ONLY),
    )
    same, more = (
        compared(folder, bits, minus, DISTILLED, SAME_COMPUTE),
        compared(folder, agreement, over, DISTILLED, TEXT_ONLY),
    )
    closer = compared(folder, kl, over, DISTILLED, SAME_COMPUTE)
    return [
        (
            "KL to the teacher, distilled / text only",
            ratio,
            "<= 0.80, interval below 1",
            ratio.value <= 0.80 and ratio.high < 1,
        ),
        (
            "bits per byte, distilled - text only",
            less,
            "<= -0.08, interval below 0",
            less.value <= -0.08 and less.high < 0,
        ),
        ("bits per byte, distilled - text, same compute", same, "given, whatever it says", True),
        ("KL to the teacher, distilled / text, same compute", closer, "given, whatever it says", True),
        ("agreement with the teacher, distilled / text only", more, ">= 1.15", more.value >= 1.15),
    ]
