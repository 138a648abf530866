"""A run folder read back: what the report is made of, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import DamagedError, UsageError

ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SCHEMA = 1  # of scores.json: the only one this version can draw

Array = NDArray[Any]


@dataclass(frozen=True)
class Answers:
    """What every model said about the test rows (``predictions.npz``)."""

    rows: Array  # (N,) int64: positions in the test split's source
    targets: Array  # (N,) int64
    log_probs: dict[str, dict[str, Array]]  # arm -> seed -> (N, C) float32, nats

    @property
    def classes(self) -> int | None:
        """Number of classes, or None where no model answered."""
        return next((a.shape[1] for seeds in self.log_probs.values() for a in seeds.values()), None)

    def probabilities(self, arm: str) -> Array | None:
        """Return (N, C) probabilities of an arm's first seed, or None where the arm is absent."""
        for log_probs in self.log_probs.get(arm, {}).values():
            return np.exp(log_probs.astype(np.float64))
        return None


@dataclass(frozen=True)
class Gallery:
    """The test rows on which student and teacher disagree most (``gallery.npz``)."""

    rows: Array  # (K,) int64: a subset of Answers.rows, worst first
    inputs: Array  # (K, ...) as the user gave them: images, numbers or text
    columns: tuple[str, ...] = ()  # names of the columns, for tables
    spans: dict[str, Array] = field(default_factory=dict)  # by net, (K, M, 2) of text: its words that count, -1: fewer
    effects: dict[str, Array] = field(default_factory=dict)  # by net, (K, M): what each adds, in nats


@dataclass(frozen=True)
class RunFiles:
    """The files of one run folder; what is absent is empty or None, and its section is left out."""

    folder: Path
    scores: dict[str, Any]
    run: dict[str, Any] = field(default_factory=dict)
    costs: dict[str, Any] = field(default_factory=dict)
    recipe: str = ""
    metrics: list[dict[str, Any]] = field(default_factory=list)
    answers: Answers | None = None
    gallery: Gallery | None = None
    explanation: dict[str, Any] = field(default_factory=dict)
    taught: Gallery | None = None  # the training rows that taught most
    full: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the data, as text; numbers where the predictions have another count of them."""
        named = [str(name) for name in self.scores.get("classes", [])]
        count = self.answers.classes if self.answers else None
        return named if count in (None, len(named)) else [str(i) for i in range(count or 0)]


def read(folder: Path) -> RunFiles:
    """Read what a run left behind.

    Raises:
        UsageError: the folder holds no scores yet, or scores of another schema.
        DamagedError: a file is there and cannot be read.
    """
    scores = read_json(folder / "scores.json")
    if not scores:
        raise UsageError(
            f"There is nothing to report in {folder}: it holds no scores.json, so the run was not judged yet. "
            f"Run `stillhouse evaluate {folder}` first."
        )
    if scores.get("schema") != SCHEMA:
        raise UsageError(
            f"{folder / 'scores.json'} has schema {scores.get('schema')!r}, and this version draws schema {SCHEMA}. "
            f"Judge the run again with this version: `stillhouse evaluate {folder}`."
        )
    return RunFiles(
        folder=folder,
        scores=scores,
        run=read_json(folder / "run.json"),
        costs=read_json(folder / "costs.json") or scores.get("costs") or {},
        recipe=plain(_text(folder / "recipe.toml")),
        metrics=_metrics(folder / "metrics.jsonl"),
        answers=_answers(folder / "predictions.npz"),
        gallery=_gallery(folder / "gallery.npz"),
        explanation=read_json(folder / "explanation.json"),
        taught=_gallery(folder / "taught.npz"),
        full=read_json(folder / "full.json"),
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
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object with its texts made plain; empty where there is no file.

    Raises:
        DamagedError: it is there and cannot be read.
    """
    text = _text(path)
    try:
        value = json.loads(text) if text else {}
    except json.JSONDecodeError as error:
        raise _damaged(path, error) from error
    if not isinstance(value, dict):
        raise _damaged(path, "it does not hold a JSON object")
    plainly: dict[str, Any] = _plain(value)
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
    except json.JSONDecodeError as error:
        raise _damaged(path, error) from error
    if not isinstance(value, dict):
        raise _damaged(path, "a line does not hold a JSON object")
    plainly: dict[str, Any] = _plain(value)
    return plainly


def _arrays(path: Path) -> dict[str, Array]:
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own on damaged bytes
        raise _damaged(path, error) from error


def _answers(path: Path) -> Answers | None:
    arrays = _arrays(path)
    if not {"rows", "targets"} <= arrays.keys():
        return None
    log_probs: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        arm, slash, seed = name.rpartition("/")
        if slash and array.ndim == 2:
            log_probs.setdefault(arm, {})[seed] = array
    return Answers(arrays["rows"], arrays["targets"], log_probs)


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
    return DamagedError(
        f"{path} cannot be read: {why}. The file is damaged or was not written by stillhouse. "
        f"Delete it and run the command that made the run again; finished stages are kept."
    )
