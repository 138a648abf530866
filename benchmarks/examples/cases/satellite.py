"""Where it does not pay: multispectral pixels of a satellite."""

from __future__ import annotations

from pathlib import Path

from benchmarks.examples.data import MLBENCH, MLBENCH_VERSION, mlbench, write_csv
from benchmarks.examples.example import Example, Origin


def prepare(folder: Path) -> None:
    """Write ``satellite.csv``: 36 numbers and the kind of ground."""
    write_csv(mlbench("Satellite", folder), folder / "satellite.csv", "classes")


EXAMPLE = Example(
    title="Satellite: where distilling does not pay",
    about="""
6,435 places in one Landsat image, each described by four spectral bands of itself and its eight neighbours, 36 whole
numbers, and one of six kinds of ground (UCI *Statlog Landsat*). Here student and teacher see the same labels, all of
them: nothing is left that only the teacher could know. The page is here because a tool that always finds a gain
cannot be believed.
""",
    origins=(Origin(MLBENCH, "GPL-2", "`Satellite`", MLBENCH_VERSION),),
    file="satellite.csv",
    prepare=prepare,
    accept_teacher=True,
    limits="""
Neighbouring places of one image share pixels, and the copy no longer says which they were: all figures are for places
between known places, not for another image.
""",
)
