"""The outputs of every net for the rows of one split, in one file: all that the judgement needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse import hashes
from stillhouse.archives import BROKEN, open_npz
from stillhouse.data.targets import known
from stillhouse.errors import DamagedError, RejectedError
from stillhouse.evaluation.statistics import Floats as Floats
from stillhouse.evaluation.statistics import Integers as Integers
from stillhouse.files import write_npz
from stillhouse.task import OUTPUTS, Judgement, Record
from stillhouse.task import SINGLE as SINGLE


@dataclass(frozen=True)
class Predictions:
    """The records of every arm and seed on the rows of one split.

    Attributes:
        targets: (N,) or (N, K), as the task has them.
        rows: (N,) int64, the rows' numbers in the source data.
        names: of the classes or targets, in the order of the outputs' last axis.
        records: by arm, then by seed as text (``"-"`` for a single net): arrays (N, ...) by name.

    Raises:
        RejectedError: an array has another number of rows.
    """

    targets: NDArray[Any]
    rows: Integers
    names: tuple[str, ...]
    records: Mapping[str, Mapping[str, Record]]

    def __post_init__(self) -> None:
        count = len(self.targets)
        if len(self.rows) != count:
            raise RejectedError(
                f"There are {len(self.rows)} row numbers but {count} targets; each test row needs one of each."
            )
        for arm, seeds in self.records.items():
            for seed, record in seeds.items():
                for values in record.values():
                    if len(values) != count:
                        raise RejectedError(f"{arm}/{seed} has {len(values)} rows, but there are {count} targets.")

    @classmethod
    def of_outputs(
        cls,
        targets: NDArray[Any],
        rows: Integers,
        names: Sequence[str],
        outputs: Mapping[str, Mapping[str, NDArray[Any]]],
    ) -> Predictions:
        """Records with outputs only: by arm and seed, float32 (N, ...)."""
        records = {arm: {seed: {OUTPUTS: x} for seed, x in seeds.items()} for arm, seeds in outputs.items()}
        return cls(targets, rows, tuple(names), records)

    def labelled(self) -> Predictions:
        """The rows that have a label; all where none has one."""
        rows = known(self.targets)
        if rows.all() or not rows.any():
            return self
        return self.only(rows)

    def only(self, rows: NDArray[np.bool_]) -> Predictions:
        """Some of the rows.

        Args:
            rows: bool (N,), True for those that stay.
        """
        records = {
            arm: {seed: {name: x[rows] for name, x in record.items()} for seed, record in seeds.items()}
            for arm, seeds in self.records.items()
        }
        return Predictions(self.targets[rows], self.rows[rows], self.names, records)

    def outputs(self, arm: str) -> dict[str, NDArray[Any]]:
        """The outputs of an arm by seed."""
        return {seed: record[OUTPUTS] for seed, record in self.records.get(arm, {}).items()}

    def check(self, task: Judgement) -> None:
        """Refuse targets or records that the task cannot judge."""
        task.check_targets(self.targets, self.names)
        for arm, seeds in self.records.items():
            for seed, record in seeds.items():
                if wrong := task.check_record(record, self.targets, self.names, self.rows):
                    raise RejectedError(f"{arm}/{seed}{wrong}")

    def save(self, path: Path) -> None:
        """Write an ``.npz``: ``rows``, ``targets``, ``classes`` (the names), and of each net ``<arm>/<seed>`` (outputs)
        and ``<arm>/<seed>/<name>`` (other arrays).
        """  # noqa: D205
        arrays: dict[str, NDArray[Any]] = {
            "rows": self.rows, "targets": self.targets, "classes": np.asarray(self.names, dtype=np.str_)
        }  # fmt: skip
        for arm, seeds in self.records.items():
            for seed, record in seeds.items():
                arrays |= {
                    f"{arm}/{seed}" if name == OUTPUTS else f"{arm}/{seed}/{name}": x for name, x in record.items()
                }
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read a file of ``save``.

        Raises:
            DamagedError: the file is missing, truncated, or lacks one of the three arrays every file has.
            RejectedError: the arrays do not fit each other.
        """
        hashes.check(path)
        try:
            with open_npz(path) as file:
                arrays = {name: file[name] for name in file.files}
            targets, rows, names = arrays.pop("targets"), arrays.pop("rows"), arrays.pop("classes")
        except BROKEN as error:
            raise DamagedError(f"{path} cannot be read as predictions: {error}. {hashes.cure(path)}") from error
        records: dict[str, dict[str, dict[str, NDArray[Any]]]] = {}
        for key, values in arrays.items():
            arm, seed, name = [*key.split("/"), OUTPUTS][:3]
            records.setdefault(arm, {}).setdefault(seed, {})[name] = values
        return cls(targets, rows, tuple(str(n) for n in names), records)
