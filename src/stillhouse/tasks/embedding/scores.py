"""The judgement of distilled embedders: figures with intervals, paired differences, and the four fixed words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import DamagedError, RejectedError
from stillhouse.evaluation.predictions import Floats
from stillhouse.evaluation.resampling import Interval, RowResamples, Sample, Statistic, spread, two_level
from stillhouse.evaluation.verdict import holm, tost, two_sided, word
from stillhouse.files import write_npz
from stillhouse.tasks.embedding import measures as embeddings

SCHEMA = 1
PRECISION, NDCG, RECALL, SPEARMAN = "precision_10", "ndcg_10", "recall_10", "spearman"
TEACHER, STUDENT = "teacher", "distilled"
CONTROLS = ("contrast", "start")
NAMES = {
    TEACHER: "the teacher",
    "contrast": "the same student trained without the teacher, by contrast",
    "start": "the same student before training",
}
SPOKEN = {
    PRECISION: "precision at 10 by category",
    NDCG: "nDCG at 10 of the teacher's nearest texts",
    SPEARMAN: "rank correlation with the teacher's similarities",
}


@dataclass(frozen=True)
class Embedded:
    """What every net made of the held-out texts."""

    rows: NDArray[np.int64]  # (N,) of the source
    labels: NDArray[np.int64]  # (N,), -1 where there is none
    vectors: dict[str, dict[str, NDArray[np.float32]]]  # arm -> seed ("-" for the teacher) -> (N, D)

    def save(self, path: Path) -> None:
        """Write an .npz without objects."""
        named = {f"{arm}/{seed}": v for arm, seeds in self.vectors.items() for seed, v in seeds.items()}
        write_npz(path, {"rows": self.rows, "labels": self.labels} | named)

    @classmethod
    def load(cls, path: Path) -> Embedded:
        """Read it back.

        Raises:
            DamagedError: it is no such file.
        """
        vectors: dict[str, dict[str, NDArray[np.float32]]] = {}
        try:
            with np.load(path, allow_pickle=False) as file:
                rows, labels = file["rows"], file["labels"]
                for name in (n for n in file.files if "/" in n):
                    arm, _, seed = name.partition("/")
                    vectors.setdefault(arm, {})[seed] = file[name]
        except (OSError, ValueError, KeyError) as error:
            raise DamagedError(f"{path} cannot be read ({error}). Delete it, and run the recipe again.") from error
        return cls(rows, labels, vectors)


class Asked(NamedTuple):
    """One comparison before its words: the difference and the p-values that go into the family."""

    a: str
    b: str
    measure: str
    asks: Literal["gain", "loss"]
    interval: Interval
    p: float
    p_margin: float


def score_embeddings(
    told: Embedded, *, confidence: float, margin: float, resamples: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Judge embedders by their vectors of the held-out texts.

    Where the texts have labels, the headline is the precision at 10 by category, which the teacher has no part in; else
    it is the nDCG at 10 of the teacher's own nearest texts.

    Args:
        told: the vectors of all nets.
        confidence: of every interval.
        margin: m of "no worse within m".
        resamples: of the texts.
        seeds: of the students.

    Returns:
        ``schema verdict sentence confidence margin test_texts labelled_texts pairs seeds width models comparisons``
        (embedding_scores.schema.json).

    Raises:
        RejectedError: there are too few held-out texts.
    """
    texts, labelled = len(told.rows), int((told.labels >= 0).sum())
    if texts < embeddings.LEAST_TEXTS or 0 < labelled < embeddings.LEAST_TEXTS:
        raise RejectedError(
            f"{texts} held-out texts, {labelled} of them labelled, are too few to look for the {embeddings.NEAREST} "
            f"nearest among them: at least {embeddings.LEAST_TEXTS} are needed. Give a larger `[data] test`."
        )
    offsets = embeddings.pair_offsets(texts)
    found = statistics(told, offsets)
    draws = {n: RowResamples(n, resamples) for n in {texts, labelled or texts}}
    comparisons = compare(found, draws, margin, confidence)
    models = {arm: _model(measures, list(told.vectors[arm]), draws, confidence) for arm, measures in found.items()}
    return {
        "schema": SCHEMA,
        "verdict": comparisons[0]["verdict"],
        "sentence": comparisons[0]["sentence"],
        "confidence": confidence,
        "margin": margin,
        "test_texts": texts,
        "labelled_texts": labelled,
        "pairs": texts * len(offsets),
        "seeds": list(seeds),
        "width": {arm: next(iter(nets.values())).shape[1] for arm, nets in told.vectors.items()},
        "models": models,
        "comparisons": comparisons,
    }


def statistics(told: Embedded, offsets: embeddings.Ints) -> dict[str, dict[str, list[Statistic]]]:
    """By arm and measure, one statistic for each seed; the teacher is measured by categories alone."""
    theirs = told.vectors[TEACHER]["-"]
    cosines, nearest = embeddings.pair_cosines(theirs, offsets), embeddings.neighbours(theirs)
    found: dict[str, dict[str, list[Statistic]]] = {}
    for arm, nets in told.vectors.items():
        measures: dict[str, list[Statistic]] = {}
        for vectors in nets.values():
            if (told.labels >= 0).any():
                measures.setdefault(PRECISION, []).append(embeddings.same_category(vectors, told.labels))
            if arm != TEACHER:
                ndcg, recall = embeddings.neighbours_found(embeddings.neighbours(vectors), nearest)
                ranks = embeddings.rank_correlation(embeddings.pair_cosines(vectors, offsets), cosines, offsets)
                for name, statistic in ((NDCG, ndcg), (RECALL, recall), (SPEARMAN, ranks)):
                    measures.setdefault(name, []).append(statistic)
        found[arm] = measures
    return found


def compare(
    found: Mapping[str, Mapping[str, list[Statistic]]],
    draws: Mapping[int, RowResamples],
    margin: float,
    confidence: float,
) -> list[dict[str, Any]]:
    """All paired comparisons as one family (Holm), the headline first."""
    measures = [m for m in (PRECISION, NDCG, SPEARMAN) if m in found[STUDENT]]
    questions: list[tuple[str, str, Literal["gain", "loss"]]] = [(m, b, "gain") for m in measures for b in CONTROLS]
    if PRECISION in measures:
        questions.append((PRECISION, TEACHER, "loss"))
    asked = [_ask(found, draws, m, b, asks, margin, confidence) for m, b, asks in questions if b in found]
    ps, margins = holm([one.p for one in asked]), holm([one.p_margin for one in asked])
    return [_told(*three, margin, confidence) for three in zip(asked, ps, margins, strict=True)]


def _ask(
    found: Mapping[str, Mapping[str, list[Statistic]]],
    draws: Mapping[int, RowResamples],
    measure: str,
    other: str,
    asks: Literal["gain", "loss"],
    margin: float,
    confidence: float,
) -> Asked:
    a, b = (_components(found[arm][measure]) for arm in (STUDENT, other))
    sample = _sample([Statistic(row, len(row)) for row in a - b], draws)
    parts = spread(sample)
    p_margin = tost(sample.value, parts, margin)[0]
    interval = two_level(sample, confidence)
    return Asked(STUDENT, other, measure, asks, interval, two_sided(sample.value, parts), p_margin)


def _told(one: Asked, p: float, p_margin: float, margin: float, confidence: float) -> dict[str, Any]:
    verdict = word(one.asks, one.interval, p, p_margin, margin, confidence)
    value, low, high = one.interval
    side = "above" if value >= 0 else "below"
    sentence = (
        f"The distilled student's {SPOKEN[one.measure]} is {abs(value):.3f} {side} that of {NAMES[one.b]} "
        f"({100 * confidence:g} % interval of the difference {low:+.3f} to {high:+.3f})."
    )
    difference = one.interval._asdict()
    kept = {"a": one.a, "b": one.b, "measure": one.measure, "asks": one.asks, "difference": difference}
    return kept | {"margin": margin, "verdict": verdict, "sentence": sentence, "p": p}


def _model(
    measures: Mapping[str, list[Statistic]], seeds: list[str], draws: Mapping[int, RowResamples], confidence: float
) -> dict[str, Any]:
    """Figures with intervals, and those of each seed."""
    figures = {}
    for name, by_seed in measures.items():
        value, low, high = two_level(_sample(by_seed, draws), confidence)
        least = -1.0 if name == SPEARMAN else 0.0
        figures[name] = {"value": value, "low": max(low, least), "high": min(high, 1.0)}
    each = {
        seed: {name: float(by_seed[i].components.mean()) for name, by_seed in measures.items()}
        for i, seed in enumerate(seeds)
    }
    return {"measures": figures, "seeds": each}


def _components(by_seed: Sequence[Statistic]) -> Floats:
    return np.stack([s.components for s in by_seed])


def _sample(by_seed: Sequence[Statistic], draws: Mapping[int, RowResamples]) -> Sample:
    return draws[by_seed[0].rows].sample(by_seed)
