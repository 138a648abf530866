"""Do the intervals cover, and do the verdicts cry wolf? Simulated experiments; the tables go to docs/statistics.md.

Run ``python -m benchmarks.judgement`` (about ten minutes on one core) to print the tables, with ``--write`` to put
them into docs/statistics.md with the day as well, with ``--experiments 200`` for a quick look. Names of tables, such as
``claims headline``, run only these. Every line has a generator of its own, so the same code gives the same line again.
"""

from __future__ import annotations

import argparse
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, ndtri

from stillhouse.evaluation import Predictions, score
from stillhouse.evaluation.resampling import RowResamples
from stillhouse.evaluation.scores import headline_verdict
from stillhouse.evaluation.verdict import Difference, compare, decide
from stillhouse.task import BETTER, NON_INFERIOR, OUTPUTS, VERDICTS, WORSE, Judgement, Statistic
from stillhouse.tasks import get

Floats = NDArray[np.float64]
PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
RESAMPLES = 1000
MARGIN = 0.01


@dataclass(frozen=True)
class Scenario:
    """Two arms of correlated classifiers: a row is right where a sum of normal effects exceeds a threshold.

    Rows share their difficulty between all nets, and part of it between the seeds of an arm; seeds shift the accuracy.
    """

    title: str
    rows: int = 1000
    seeds: int = 5
    accuracy: float = 0.9  # of arm b
    difference: float = 0.0  # of the true accuracies, a - b
    seed_spread: float = 0.01  # standard deviation of the accuracies of an arm's seeds on infinitely many rows
    same_rows: float = 0.6  # share of the rows' variance that all nets share
    same_arm: float = 0.2  # share that the seeds of one arm share
    teacher: bool = False  # b is one net that every seed of a meets

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Hits of a (S, N) and b (S, N) or (1, N)."""
        difficulty = rng.normal(size=self.rows) * np.sqrt(self.same_rows)
        return tuple(  # type: ignore[return-value]
            self._arm(rng, difficulty, accuracy, seeds)
            for accuracy, seeds in (
                (self.accuracy + self.difference, self.seeds),
                (self.accuracy, 1 if self.teacher else self.seeds),
            )
        )

    def _arm(self, rng: np.random.Generator, difficulty: Floats, accuracy: float, seeds: int) -> Floats:
        own = rng.normal(size=self.rows) * np.sqrt(self.same_arm)
        rest = rng.normal(size=(seeds, self.rows)) * np.sqrt(1 - self.same_rows - self.same_arm)
        spread = 0.0 if seeds == 1 else self.seed_spread  # one net: what is asked is about that net
        shift = rng.normal(size=(seeds, 1)) * spread / _density(accuracy)
        threshold = ndtri(accuracy) * np.sqrt(1 + (spread / _density(accuracy)) ** 2)
        hits: Floats = (difficulty + own + rest + shift + threshold > 0).astype(np.float64)
        return hits


def _density(accuracy: float) -> float:
    """Slope of accuracy against threshold."""
    return float(np.exp(-(ndtri(accuracy) ** 2) / 2) / np.sqrt(2 * np.pi))


AT_THE_MARGIN = (
    Scenario("5 seeds, 1,000 rows, 90 %, 1 point worse", difference=-MARGIN),
    Scenario("5 seeds, 5,000 rows, 90 %, 1 point worse", rows=5000, difference=-MARGIN),
    Scenario("1 seed, 1,000 rows, 90 %, 1 point worse", seeds=1, difference=-MARGIN),
)
NULLS = (
    Scenario("5 seeds, 1,000 rows, 90 %"),
    Scenario("5 seeds, 1,000 rows, 90 %, seeds hardly differ", seed_spread=0.001),
    Scenario("5 seeds, 1,000 rows, 80 %, seeds differ much", accuracy=0.8, seed_spread=0.03),
    Scenario("5 seeds, 1,000 rows, 99 %", accuracy=0.99, seed_spread=0.002),
    Scenario("5 seeds, 100 rows, 90 %", rows=100),
    Scenario("5 seeds, 20 rows, 90 %", rows=20),
    Scenario("5 seeds, 5,000 rows, 90 %", rows=5000),
    Scenario("2 seeds, 1,000 rows, 90 %", seeds=2),
    Scenario("3 seeds, 1,000 rows, 90 %", seeds=3),
    Scenario("10 seeds, 1,000 rows, 90 %", seeds=10),
    Scenario("1 seed, 1,000 rows, 90 %", seeds=1),
    Scenario("1 seed, 50 rows, 90 %", seeds=1, rows=50),
    Scenario("5 seeds against one teacher", teacher=True),
    Scenario("5 seeds, rows of each net independent", same_rows=0.0, same_arm=0.0),
)


@dataclass(frozen=True)
class Rivals:
    """A student and its three rivals: two of nets, one of each seed, and a simple model, which is one net."""

    title: str
    gains: tuple[float, float, float]  # of the true accuracies, student less rival
    nets: Scenario = Scenario("5 seeds, 1,000 rows, 90 %")

    def draw(self, rng: np.random.Generator) -> tuple[Floats, list[Floats]]:
        """Hits of the student (S, N), and of each rival."""
        nets = self.nets
        difficulty = rng.normal(size=nets.rows) * np.sqrt(nets.same_rows)
        seeds = (nets.seeds, nets.seeds, 1)
        rivals = [
            nets._arm(rng, difficulty, nets.accuracy - gain, n) for gain, n in zip(self.gains, seeds, strict=True)
        ]
        return nets._arm(rng, difficulty, nets.accuracy, nets.seeds), rivals


HEADLINES = (
    Rivals("all rivals are as good", (0.0, 0.0, 0.0)),
    Rivals("one rival is as good, two are 5 points worse", (0.05, 0.05, 0.0)),
    Rivals("the self-trained rival is as good, two are 5 points worse", (0.05, 0.0, 0.05)),
    Rivals("one rival is 2 points better, two are 5 points worse", (0.05, 0.05, -0.02)),
    Rivals("all rivals are 2 points worse", (0.02, 0.02, 0.02)),
    Rivals("all rivals are 5 points worse", (0.05, 0.05, 0.05)),
    Rivals(
        "one rival is as good, two are 5 points worse; 2 seeds, 300 rows",
        (0.05, 0.05, 0.0),
        Scenario("2 seeds, 300 rows", seeds=2, rows=300),
    ),
)


def headline_rates(world: Rivals, experiments: int, confidence: float = 0.95) -> dict[str, float]:
    """Rates of the verdicts on all rivals, and of ``part``: a false claim about any single rival in the sentence."""
    rng = np.random.default_rng(0)
    weights = [RowResamples(world.nets.rows, RESAMPLES, seed) for seed in range(min(20, experiments))]
    counts = dict.fromkeys((*VERDICTS, "part"), 0.0)
    for experiment in range(experiments):
        student, rivals = world.draw(rng)
        found = [compare(student, rival, weights[experiment % len(weights)], MARGIN, confidence) for rival in rivals]
        words = [decide("gain", d.interval, d.p, d.p_margin, MARGIN, confidence) for d in found]
        counts[headline_verdict([{"headline": True, "verdict": word} for word in words])] += 1 / experiments
        false = [
            (word == BETTER and gain <= 0) or (word == WORSE and gain >= 0)
            for word, gain in zip(words, world.gains, strict=True)
        ]
        counts["part"] += any(false) / experiments
    return counts


def headline_table(experiments: int) -> str:
    """The rates of the headline's words, as Markdown."""
    heads = [*(f"`{verdict}`" for verdict in VERDICTS), "false claim about a single rival"]
    lines = [f"| {experiments:,} experiments each | {' | '.join(heads)} |", "|---|" + "--:|" * len(heads)]
    for world in HEADLINES:
        found = headline_rates(world, experiments)
        lines.append(f"| {world.title} | " + " | ".join(f"{100 * x:.1f} %" for x in found.values()) + " |")
    return "\n".join(lines)


Draw = Callable[[np.random.Generator], tuple[Floats, Floats]]


def rates(draw: Draw, rows: int, truth: float, experiments: int, confidence: float = 0.95) -> dict[str, float]:
    """Rates of the claims, and of intervals that miss the true difference, over experiments.

    The weights of resampled rows do not depend on the data, so a few sets of them are used in turn.
    """
    rng = np.random.default_rng(0)
    weights = [RowResamples(rows, RESAMPLES, seed) for seed in range(min(20, experiments))]
    counts = dict.fromkeys(CLAIMS, 0.0)
    for experiment in range(experiments):
        found = compare(*draw(rng), weights[experiment % len(weights)], MARGIN, confidence)
        for name, claimed in claims(found, MARGIN, truth, confidence).items():
            counts[name] += claimed
    return {name: count / experiments for name, count in counts.items()}


CLAIMS = (BETTER, WORSE, NON_INFERIOR, "below", "above")


def claims(found: Difference, margin: float, truth: float, confidence: float) -> dict[str, bool]:
    """What is claimed of a difference, and whether its interval misses the truth."""
    gain, loss = (
        decide(asks, found.interval, found.p, found.p_margin, margin, confidence) for asks in ("gain", "loss")
    )
    below, above = truth < found.interval.low, truth > found.interval.high
    return dict(zip(CLAIMS, (gain == BETTER, gain == WORSE, loss in (NON_INFERIOR, BETTER), below, above), strict=True))


def idle_method(count: int = 100) -> tuple[int, Draw]:
    """Real nets and a method that does nothing: both arms are nets of one recipe, with other seeds.

    Each experiment takes ten of ``count`` small nets trained on 200 digits, and 400 of the digits they have not seen.
    """
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    inputs, targets = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(targets))
    known, held = order[:200], order[200:]
    nets = [
        MLPClassifier((12,), max_iter=60, learning_rate_init=0.01, tol=0, n_iter_no_change=1000, random_state=s)
        for s in range(count)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sklearn warns that 60 epochs are not enough to converge; no net needs to
        hits = np.array(
            [n.fit(inputs[known] / 16, targets[known]).predict(inputs[held] / 16) == targets[held] for n in nets]
        )

    def draw(rng: np.random.Generator) -> tuple[Floats, Floats]:
        chosen = rng.choice(len(nets), 10, replace=False)
        rows = rng.integers(0, len(held), 400)
        found = hits[np.ix_(chosen, rows)].astype(np.float64)
        return found[:5], found[5:]

    return 400, draw


@dataclass(frozen=True)
class World:
    """Nets with log-probabilities: noisy readings of the rows' true logits, each seed with its own noise and scale."""

    title: str
    rows: int = 500
    seeds: int = 5
    classes: int = 4
    signal: float = 2.5  # standard deviation of the true logits: labels are drawn from their softmax
    scale: float = 1.3  # factor on all logits of a student: above 1 it is overconfident
    noise: float = 0.8  # standard deviation of a student's own reading errors

    def draw(self, rng: np.random.Generator) -> Predictions:
        """One experiment: a teacher, and five seeds of the distilled student and of its control."""
        prior = np.linspace(0.5, -0.5, self.classes)
        true = rng.normal(size=(self.rows, self.classes)) * self.signal + prior
        targets = (true + rng.gumbel(size=true.shape)).argmax(1)
        nets = {"teacher": {"-": self._net(rng, true, 0.4, 1.0)}}
        for arm, noise in (("distilled", self.noise), ("labels_only", 1.5 * self.noise)):
            common = true + rng.normal(size=true.shape) * noise / 2
            nets[arm] = {
                str(s): self._net(
                    rng, common, noise * np.exp(0.1 * rng.normal()), self.scale * np.exp(0.1 * rng.normal())
                )
                for s in range(self.seeds)
            }
        names = tuple(f"c{c}" for c in range(self.classes))
        return Predictions.of_outputs(targets, np.arange(self.rows), names, nets)

    @staticmethod
    def _net(rng: np.random.Generator, true: Floats, noise: float, scale: float) -> NDArray[np.float32]:
        logits = scale * (true + rng.normal(size=true.shape) * noise)
        return log_softmax(logits, axis=1).astype(np.float32)


WORLDS = (World("4 classes, 500 rows, 5 seeds"), World("2 classes, 300 rows, 3 seeds", rows=300, seeds=3, classes=2))


def judged(predictions: Predictions, resamples: int = RESAMPLES) -> dict[str, Any]:
    """The scores of an experiment."""
    return score(
        get("classification"), predictions, saw={}, budget={}, costs={}, versions={}, hashes={}, resamples=resamples
    )


def intervals(scores: dict[str, Any]) -> Iterator[tuple[str, dict[str, float]]]:
    """Every interval of scores.json with its place; the worst class is left out: another one is worst each time."""
    for comparison in scores["comparisons"]:
        yield f"accuracy of {comparison['a']} less {comparison['b']}", comparison["difference"]
    for arm, model in scores["models"].items():
        for kind in ("measures", "fidelity"):
            for name, found in model.get(kind, {}).items():
                if isinstance(found, dict) and "low" in found and not (kind == "fidelity" and name == "agreement"):
                    yield f"{name} of {arm}", found
        for name in ("ece", "class_ece"):
            yield f"{name} of {arm}", model["calibration"][name]
        for other, parts in model.get("harm", {}).get("against", {}).items():
            for part in parts["classes"]:
                yield f"class {part['name']} of {arm} less {other}", part


def truth(world: World, seed: int = 1) -> dict[str, float]:
    """The figures that infinitely many rows and seeds would have, nearly: 40 draws of 20,000 rows and 5 seeds."""
    rng = np.random.default_rng(seed)
    large = replace(world, rows=20_000, seeds=5)
    drawn = [dict(intervals(judged(large.draw(rng), resamples=2))) for _ in range(40)]
    squared = ("ece", "class_ece")
    found = {}
    for name in drawn[0]:
        values = np.array([d[name]["value"] for d in drawn])
        root = name.startswith(squared)
        found[name] = float(np.sqrt((values**2).mean()) if root else values.mean())
    return found


def coverage(world: World, expected: dict[str, float], experiments: int) -> dict[str, tuple[float, float]]:
    """For every interval the shares of experiments in which the truth lies below it and above it."""
    rng = np.random.default_rng(0)
    below, above = (dict.fromkeys(expected, 0.0) for _ in range(2))
    for _ in range(experiments):
        for name, found in intervals(judged(world.draw(rng))):
            below[name] += expected[name] < found["low"]
            above[name] += expected[name] > found["high"]
    return {name: (below[name] / experiments, above[name] / experiments) for name in expected}


def claims_table(experiments: int) -> str:
    """The rates of false claims and of misses, scenario by scenario, as Markdown."""
    lines = [
        f"| {experiments:,} experiments each | `better` | `worse` | `non_inferior` | truth below | truth above |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    rows, draw = idle_method()
    cases: list[tuple[str, Draw, int, float]] = [
        (s.title, s.draw, s.rows, s.difference) for s in (*NULLS, *AT_THE_MARGIN)
    ]
    cases.append(("a method that does nothing: real nets on digits, 5 seeds, 400 rows", draw, rows, 0.0))
    for title, drawn, count, true in cases:
        found = rates(drawn, count, true, experiments)
        lines.append(f"| {title} | " + " | ".join(f"{100 * x:.1f} %" for x in found.values()) + " |")
    return "\n".join(lines)


@dataclass(frozen=True)
class Twins:
    """Two arms of one recipe in some task: nets that read the truth with errors that rows, arms and seeds share."""

    task: str
    title: str
    measures: tuple[str, ...]
    rows: int = 500
    seeds: int = 5
    outputs: int = 1  # classes, targets, labels
    noise: float = 0.8

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[Any], list[list[Floats]]]:
        """Targets, and the outputs of both arms' seeds."""
        true = 2 * rng.normal(size=(self.rows, self.outputs)) - np.linspace(0, 1.5, self.outputs)
        if self.task == "classification":
            targets: NDArray[Any] = (true + rng.gumbel(size=true.shape)).argmax(1)
        elif self.task == "multilabel":
            targets = (true + rng.logistic(size=true.shape) > 0).astype(np.float64)
        else:
            targets = true + rng.normal(size=true.shape)
        hard = rng.normal(size=true.shape)
        return targets, [self._arm(rng, true, hard) for _ in range(2)]

    def _arm(self, rng: np.random.Generator, true: Floats, hard: Floats) -> list[Floats]:
        own = rng.normal(size=true.shape)
        nets = []
        for _ in range(self.seeds):
            # One net: what is asked is about that net, so that the two must be equally good.
            size = self.noise * np.exp((0.1 if self.seeds > 1 else 0.0) * rng.normal())
            said = true + size * (hard + 0.6 * own + 0.8 * rng.normal(size=true.shape))
            nets.append(log_softmax(said, axis=1) if self.task == "classification" else said)
        return nets


FOUR = ("balanced_accuracy", "macro_f1", "log_likelihood", "brier")
TWO = ("auc", "sensitivity:0@0.9", "sensitivity:1@0.95")
TWINS = (
    Twins("classification", "4 classes, 500 rows, 5 seeds", FOUR, outputs=4),
    Twins("classification", "2 classes, 500 rows, 5 seeds", TWO, outputs=2),
    Twins("classification", "2 classes, 500 rows, 1 seed", ("auc", "sensitivity:0@0.9"), outputs=2, seeds=1),
    Twins("regression", "500 rows, 5 seeds", ("r2", "rmse", "mae", "spearman")),
    Twins("regression", "100 rows, 1 seed", ("r2", "rmse", "mae", "spearman"), rows=100, seeds=1),
    Twins("multilabel", "4 labels, 500 rows, 5 seeds",
          ("micro_f1", "macro_f1", "auc", "label_accuracy", "subset_accuracy", "log_loss"), outputs=4),
)  # fmt: skip


def twin_rates(world: Twins, experiments: int, confidence: float = 0.95) -> dict[str, dict[str, float]]:
    """Of each measure the rates of false claims, and of intervals that miss the true difference, which is 0."""
    task, rng = get(world.task), np.random.default_rng(0)
    names = tuple(str(i) for i in range(world.outputs))
    weights = [RowResamples(world.rows, RESAMPLES, seed) for seed in range(20)]
    counts = {measure: dict.fromkeys(CLAIMS, 0.0) for measure in world.measures}
    for experiment in range(experiments):
        targets, arms = world.draw(rng)
        found = [[of_net(task, net, targets, names, world.measures) for net in arm] for arm in arms]
        for measure in world.measures:
            a, b = (np.array([of_seed[measure].components for of_seed in arm]) for arm in found)
            rows = min(of_seed[measure].rows for arm in found for of_seed in arm)
            margin = MARGIN * task.scale(measure, targets)
            difference = compare(
                a, b, weights[experiment % 20], margin, confidence, measure=task.measure(measure), rows=rows
            )
            for name, claimed in claims(difference, margin, 0.0, confidence).items():
                counts[measure][name] += claimed / experiments
    return counts


def of_net(
    task: Judgement, outputs: Floats, targets: NDArray[Any], names: tuple[str, ...], measures: tuple[str, ...]
) -> dict[str, Statistic]:
    """Every measure of one net."""
    record = {OUTPUTS: outputs}
    found = task.quality(record, targets, names)
    for measure in measures:
        if measure not in found and (extra := task.statistic(measure, record, targets, names)):
            found[measure] = extra
    return found


def measures_table(experiments: int) -> str:
    """The rates of false claims by measure, as Markdown."""
    lines = [
        f"| {experiments:,} experiments each | `better` | `worse` | `non_inferior` | truth below | truth above |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for world in TWINS:
        lines.append(f"| **{world.task}, {world.title}** | | | | | |")
        for measure, found in twin_rates(world, experiments).items():
            lines.append(f"| {measure} | " + " | ".join(f"{100 * x:.1f} %" for x in found.values()) + " |")
    return "\n".join(lines)


def coverage_table(experiments: int) -> str:
    """How often each kind of interval missed, the worst of its kind over arms and classes, as Markdown."""
    lines = [
        f"| {experiments:,} experiments each | intervals | truth | below | above | covered |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for world in WORLDS:
        true = truth(world)
        found = coverage(world, true, experiments)
        kinds: dict[str, list[str]] = {}
        for name in found:
            kinds.setdefault(re.sub(r"class \w+ of", "one class of", name).split(" of ")[0], []).append(name)
        lines.append(f"| **{world.title}** | | | | | |")
        for kind, names in kinds.items():
            worst = max(names, key=lambda n: sum(found[n]))
            below, above = found[worst]
            shares = " | ".join(f"{100 * x:.1f} %" for x in (below, above, 1 - below - above))
            lines.append(f"| {kind} | {len(names)} | {true[worst]:.4f} | {shares} |")
    return "\n".join(lines)


TABLES: dict[str, tuple[Callable[[int], str], int]] = {  # and how many times the experiments
    "claims": (claims_table, 2),
    "headline": (headline_table, 2),
    "measures": (measures_table, 1),
    "coverage": (coverage_table, 1),
}


def put(name: str, table: str) -> None:
    """Replace a table between its marks in the page, with the day under it."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(f"<!-- {name} -->\n")
    _, after = rest.split(f"<!-- /{name} -->")
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    table = f"{table}\n\n*`python -m benchmarks.judgement {name}`, run on {day}.*"
    PAGE.write_text(f"{before}<!-- {name} -->\n{table}\n<!-- /{name} -->{after}", encoding="utf-8")


def main() -> None:
    """Print the tables, and put them where the page has room for them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", nargs="*", help=f"of {', '.join(TABLES)}; default: all")
    parser.add_argument("--experiments", type=int, default=1000, help="of each kind; claims get twice as many")
    parser.add_argument("--write", action="store_true", help="into docs/statistics.md")
    options = parser.parse_args()
    if unknown := [name for name in options.table if name not in TABLES]:
        parser.error(f"no table is called {', '.join(unknown)}; there are {', '.join(TABLES)}")
    start = time.perf_counter()
    for name in options.table or TABLES:
        make, times = TABLES[name]
        table = make(times * options.experiments)
        print(f"{name}\n\n{table}\n", flush=True)
        if options.write:
            put(name, table)
    print(f"{time.perf_counter() - start:.0f} seconds")


if __name__ == "__main__":
    main()
