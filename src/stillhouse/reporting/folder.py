"""A run folder read back: what the report is made of, and nothing else."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stillhouse import hashes
from stillhouse.archives import open_npz
from stillhouse.errors import DamagedError, UsageError
from stillhouse.reporting.figures import Interval, interval
from stillhouse.reporting.wording import Arm, capital, percent
from stillhouse.task import TEACHER, Control, Measure, Section

ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SCHEMA = 1  # of scores.json: the only one this version can draw
STUDENT = "distilled"  # the arm that a run is about, where no comparison says it
OTHER_STYLE = ("arm-other", "cross")

Array = NDArray[Any]


class Words(Protocol):
    """What the report takes of a ``task.Task``: how it calls its arms and measures, and its own sections."""

    controls: Mapping[str, Control]
    others: Mapping[str, Control]
    measures: Mapping[str, Measure]
    logged: Mapping[str, Measure]
    table: tuple[str, ...]
    part_measure: str

    @property
    def link(self) -> str:
        """What a net's outputs are."""

    @property
    def sections(self) -> tuple[Section, ...]:
        """Its own sections."""

    def measure(self, name: str) -> Measure:
        """The measure of a name that may have arguments."""


@dataclass(frozen=True)
class Predicted:
    """What every net gave for the test rows (``predictions.npz``)."""

    rows: Array  # (N,) int64: positions in the test split's source
    targets: Array  # (N,) or (N, K)
    outputs: dict[str, dict[str, Array]]  # arm -> seed -> (N, width) float32, as the task records them

    @property
    def width(self) -> int | None:
        """Length of an output, or None where no net gave any."""
        return next((a.shape[1] for seeds in self.outputs.values() for a in seeds.values()), None)

    def first(self, arm: str) -> Array | None:
        """Return the outputs (N, width) of an arm's first seed, float64, or None where the arm is absent."""
        return next((a.astype(np.float64) for a in self.outputs.get(arm, {}).values()), None)


@dataclass(frozen=True)
class Gallery:
    """The test rows on which student and teacher disagree most (``gallery.npz``)."""

    rows: Array  # (K,) int64: a subset of Predicted.rows, worst first
    inputs: Array  # (K, ...) as the user gave them: images, numbers or text
    columns: tuple[str, ...] = ()  # names of the columns, for tables
    spans: dict[str, Array] = field(default_factory=dict)  # by net, (K, M, 2) of text: its words that count, -1: fewer
    effects: dict[str, Array] = field(default_factory=dict)  # by net, (K, M): what each adds, in nats


@dataclass(frozen=True)
class RunFiles:
    """The files of one run folder; what is absent is empty or None, and its section is left out.

    Arms and measures are called as the run's task calls them.
    """

    task: Words
    folder: Path
    scores: dict[str, Any]
    run: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Any] = field(default_factory=dict)
    recipe: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    predicted: Predicted | None = None
    gallery: Gallery | None = None
    explanation: dict[str, Any] = field(default_factory=dict)
    taught: Gallery | None = None  # the training rows that taught most
    full: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)  # what nets write

    @property
    def labelled(self) -> Predicted | None:
        """What the nets gave for the test rows that have a label; None where none has one."""
        if (p := self.predicted) is None:
            return None
        given = p.targets >= 0 if p.targets.dtype.kind != "f" else ~np.isnan(p.targets)
        rows = given.reshape(len(given), -1).any(1)
        if not rows.any():
            return None
        outputs = {arm: {seed: values[rows] for seed, values in seeds.items()} for arm, seeds in p.outputs.items()}
        return Predicted(p.rows[rows], p.targets[rows], outputs)

    @property
    def names(self) -> list[str]:
        """Names of the outputs in their order; numbers where the predictions have another count of them."""
        named = [str(name) for name in self.scores.get("classes", [])]
        count = self.predicted.width if self.predicted else None
        return named if count in (None, len(named)) else [str(i) for i in range(count or 0)]

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """What scores.json says of each arm."""
        found: dict[str, dict[str, Any]] = self.scores.get("models", {})
        return found

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """The comparisons, the headline first."""
        found: list[dict[str, Any]] = self.scores.get("comparisons", [])
        return found

    @property
    def student(self) -> str:
        """The arm that the run is about."""
        return str(next((c.get("a") for c in self.comparisons), STUDENT))

    @property
    def control(self) -> str | None:
        """The arm that it is compared with first."""
        return next((str(c.get("b")) for c in self.comparisons), None)

    @property
    def headline(self) -> str:
        """The measure that the verdict is about."""
        main = next(iter(self.main_measures), "")
        return str(next((c.get("measure") for c in self.comparisons), main))

    @property
    def part_measure(self) -> str:
        """The measure by which classes, labels and groups of rows are judged."""
        whole = self.measure(self.headline).row == "effect"
        return self.task.part_measure if whole else self.headline

    @property
    def main_measures(self) -> list[str]:
        """The measures of the table of models that any model has, the verdict's among them."""
        have = {name for model in self.models.values() for name in model.get("measures", {})}
        compared = next((str(c.get("measure")) for c in self.comparisons), "")
        found = [name for name in self.task.table if name in have]
        return [compared, *found] if compared in have and compared not in found else found

    @property
    def confidence(self) -> str:
        """The confidence of the intervals: ``95 %``."""
        return percent(self.scores.get("confidence"), 0)

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe as tables; empty where it is absent or no TOML."""
        try:
            return tomllib.loads(self.recipe)
        except tomllib.TOMLDecodeError:
            return {}

    def arm(self, name: str) -> Arm:
        """Return how an arm appears; a name that the task does not know is shown as it is written."""
        known = self.task.others.get(name) or self.task.controls.get(name)
        return Arm(known.label, *known.style) if known else Arm(capital(name.replace("_", " ")), *OTHER_STYLE)

    def measure(self, name: str) -> Measure:
        """Return how a measure is called; a name that the task does not know is shown as it is written."""
        known = name.partition(":")[0] in self.task.measures
        return self.task.measure(name) if known else Measure(name.replace("_", " "))

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Sort arms as they are shown everywhere: the teachers first, then in the order of the task."""
        order = [*self.task.others, *self.task.controls]
        return sorted(names, key=lambda n: order.index(n) if n in order else len(order))

    @property
    def shown_arms(self) -> list[str]:
        """The judged arms that stand in tables and charts: teachers and controls."""
        controls = self.task.controls
        known = {TEACHER, *controls, *(control.teacher for control in controls.values())}
        return self.in_order(name for name in self.models if name in known)

    def figure(self, arm: str, measure: str) -> Interval | None:
        """Return a measure of an arm with its interval."""
        return interval(self.models.get(arm, {}).get("measures", {}).get(measure))


def read(folder: Path, task: Words) -> RunFiles:
    """Read what a run left behind.

    Args:
        folder: the run folder.
        task: of the run.

    Raises:
        UsageError: the folder holds no scores yet, or scores of another schema.
        DamagedError: a file is there and cannot be read.
    """
    scores = read_json(folder / "scores.json")
    if not scores:
        answered = (folder / "predictions.npz").exists()
        command = f"evaluate {folder}" if answered else f"distill {folder / 'recipe.toml'}"
        raise UsageError(
            f"There is nothing to report in {folder}: it holds no scores.json, so the run was not judged yet. "
            f"Run `stillhouse {command}` first."
        )
    if scores.get("schema") != SCHEMA:
        raise UsageError(
            f"{folder / 'scores.json'} has schema {scores.get('schema')!r}, and this version draws schema {SCHEMA}. "
            f"Judge the run again with this version: `stillhouse evaluate {folder}`."
        )
    return RunFiles(
        task=task,
        folder=folder,
        scores=scores,
        run=read_json(folder / "run.json"),
        costs=read_json(folder / "costs.json") or scores.get("costs") or {},
        recipe=plain(_text(folder / "recipe.toml")),
        metrics=_metrics(folder / "metrics.jsonl"),
        predicted=_predicted(folder / "predictions.npz"),
        gallery=_gallery(folder / "gallery.npz"),
        explanation=read_json(folder / "explanation.json"),
        taught=_gallery(folder / "taught.npz"),
        full=read_json(folder / "full.json"),
        samples=read_json(folder / "samples.json"),
    )


def plain(text: str) -> str:
    r"""Spell out the characters that would act on a page instead of standing on it.

    Control characters, halves of surrogate pairs, and the marks that turn the direction of writing: with these a name
    can reverse the text around it.

    >>> plain("abc" + chr(0x202E) + "def")
    'abc\\u202edef'
    """
    return ACTING.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {plain(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_plain(held) for held in value]
    return plain(value) if isinstance(value, str) else value


def _text(path: Path) -> str:
    if not path.exists():
        return ""
    hashes.check(path)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise hashes.cannot_read(path, error) from error
    except UnicodeDecodeError as error:
        raise _damaged(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object with its texts made plain; empty where there is no file.

    Raises:
        DamagedError: it is there and cannot be read.
    """
    text = _text(path)
    try:
        value = json.loads(text) if text else {}
        if not isinstance(value, dict):
            raise _damaged(path, "it does not hold a JSON object")
        plainly: dict[str, Any] = _plain(value)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return plainly


def _metrics(path: Path) -> list[dict[str, Any]]:
    """Read the lines that are whole: a run that was killed may have left half a line at the end."""
    *whole, last = _text(path).split("\n")
    lines = [_line(path, text) for text in whole if text.strip()]
    try:
        return [*lines, _line(path, last)] if last.strip() else lines
    except DamagedError:
        return lines


def _line(path: Path, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise _damaged(path, "a line does not hold a JSON object")
        plainly: dict[str, Any] = _plain(value)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return plainly


def _arrays(path: Path) -> dict[str, Array]:
    if not path.exists():
        return {}
    hashes.check(path)
    try:
        with open_npz(path) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own on damaged bytes
        raise _damaged(path, error) from error


def _predicted(path: Path) -> Predicted | None:
    arrays = _arrays(path)
    if not {"rows", "targets"} <= arrays.keys():
        return None
    outputs: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        arm, slash, seed = name.rpartition("/")
        if slash and array.ndim == 2 and "/" not in arm:  # more slashes: what else is recorded of a net
            outputs.setdefault(arm, {})[seed] = array
    return Predicted(arrays["rows"], arrays["targets"], outputs)


def _gallery(path: Path) -> Gallery | None:
    arrays = _arrays(path)
    if not {"rows", "inputs"} <= arrays.keys():
        return None
    columns = tuple(plain(str(name)) for name in arrays.get("columns", ()))
    spans, effects = (
        {name: arrays[f"{name}_{what}"] for name in ("teacher", "student") if f"{name}_{what}" in arrays}
        for what in ("spans", "effects")
    )
    return Gallery(arrays["rows"], arrays["inputs"], columns, spans, effects)


def _damaged(path: Path, why: object) -> DamagedError:
    return DamagedError(f"{path} cannot be read: {why}. {hashes.cure(path)}")
