"""The context of a run's judgement: records, resampled rows and confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from stillhouse.data.targets import known
from stillhouse.errors import RejectedError
from stillhouse.evaluation.predictions import Predictions
from stillhouse.evaluation.resampling import Interval, RowResamples, share, two_level
from stillhouse.evaluation.statistics import Floats
from stillhouse.task import SINGLE, TEACHER, Control, Judgement, Measure, Question, Record, Statistic

BySeed = Mapping[str, Mapping[str, Statistic]]  # statistics by seed and name


class RunFacts(NamedTuple):
    """Facts about a run beside its predictions."""

    saw: Mapping[str, Mapping[str, Any]]  # by arm: ``labels``, ``unlabelled`` (numbers of rows), ``teacher``
    budget: Mapping[str, Any]  # ``steps``, ``batch_size``, ``views`` of a student
    costs: Mapping[str, Any]  # ``teacher`` and ``student`` (or any arm) as ``measure_cost`` gives them


@dataclass(frozen=True)
class Context:
    """All that a judgement needs; measures are computed once."""

    task: Judgement
    predictions: Predictions
    records: Mapping[str, Mapping[str, Record]]  # by arm and seed, as the task prepared them
    resamples: RowResamples
    run: RunFacts
    confidence: float
    margin: float
    asked: str | None  # the measure of [evaluation] measure

    @cached_property
    def main(self) -> Question:
        """The first question whose arms are both there: the headline."""
        return next(q for q in self.task.questions if q.a in self.records and q.b in self.records)

    @property
    def student(self) -> str:
        """The arm that the headline is about."""
        return self.main.a

    @property
    def baseline(self) -> str:
        """The arm that it is compared with: the result without distilling; in a run without labels the teacher."""
        return self.main.b

    def of_headline(self, question: Question) -> bool:
        """Whether a question is about the headline: the student against a rival, by the measure of the verdict."""
        main = self.main
        if main != self.task.questions[0] and main.b not in self.task.rivals:  # no rival: its one question
            return question == main
        return question.a == main.a and question.b in self.task.rivals and question.measure in (None, self.measure)

    @cached_property
    def tested(self) -> bool:
        """Whether any row has a label, so that there is a truth to compare with."""
        return bool(known(self.predictions.targets).any())

    @cached_property
    def measure(self) -> str:
        """The measure of the headline: the chosen one; else the first of the task that these rows define.

        Empty where no row has a label and no measure does without.

        Raises:
            RejectedError: the chosen measure is not defined on these rows.
        """
        wanted = [self.asked] if self.asked else [self.task.headline, *self.task.measures]
        found = next((name for name in wanted if self.defines(name, self.student, self.baseline)), None)
        if found is None and not self.tested:
            return ""
        if found is None:
            # Where some net has the measure, it is the answers of others that have none: all the same, it may be.
            without = [arm for arm in self.records if not self.defines(wanted[0], arm)]
            by = f" for the answers of {' and '.join(without)}" if len(without) < len(self.records) else ""
            raise RejectedError(
                f"The measure {wanted[0]!r} is not defined on these {self.resamples.rows} test rows{by}, so it cannot "
                'be the headline. Give more test rows ([data] test), or choose another: `[evaluation] measure = "..."`.'
            )
        return found

    @property
    def part_measure(self) -> str:
        """The measure of classes and groups: the headline's, where a part of the rows has it too."""
        return self.task.part_measure if self.task.measure(self.measure).row == "effect" else self.measure

    def defines(self, name: str, *arms: str) -> bool:
        """Whether a measure is a number for every net of these arms."""
        found = [of_seed.get(name) for arm in arms for of_seed in self.statistics(arm).values()]
        return all(s is not None and bool(np.isfinite(s.components).all()) for s in found)

    def statistics(self, arm: str) -> BySeed:
        """Quality and fidelity of every net of an arm."""
        near = self.fidelity(arm)
        return {seed: {**found, **near.get(seed, {})} for seed, found in self.quality(arm).items()}

    def quality(self, arm: str) -> BySeed:
        """Measures against the targets, by seed; computed once."""
        if arm not in self._quality:
            self._quality[arm] = {seed: self._measured(record) for seed, record in self.records[arm].items()}
        return self._quality[arm]

    def _measured(self, record: Record) -> dict[str, Statistic]:
        targets, names = self.predictions.targets, self.predictions.names
        if not self.tested:
            return {}
        found = self.task.quality(record, targets, names)
        if self.asked and self.asked not in found:
            extra = self.task.statistic(self.asked, record, targets, names)
            found |= {} if extra is None else {self.asked: extra}
        return found

    def fidelity(self, arm: str) -> BySeed:
        """Measures against the arm's teacher, by seed; empty where there is none; computed once."""
        if arm not in self._fidelity:
            reference, targets = self.reference(arm), self.predictions.targets
            teacher = next(iter(self.records[reference].values())) if reference else {}
            nets = self.records[arm] if reference else {}
            self._fidelity[arm] = {seed: self.task.fidelity(record, teacher, targets) for seed, record in nets.items()}
        return self._fidelity[arm]

    @cached_property
    def _quality(self) -> dict[str, BySeed]:
        return {}

    @cached_property
    def _fidelity(self) -> dict[str, BySeed]:
        return {}

    def reference(self, arm: str) -> str | None:
        """The teacher an arm is compared to: its own, or for a control without a teacher, the main one."""
        control = self.task.controls.get(arm)
        own = self.run.saw.get(arm, {}).get("teacher") or (control.teacher if control else None) or TEACHER
        return own if own in self.records and arm not in self.teachers else None

    @cached_property
    def teachers(self) -> list[str]:
        """The teachers with predictions, the main one first."""
        return [arm for arm in teachers_of(self.task) if arm in self.records]

    def components(self, arm: str, measure: str, seeds: Sequence[str]) -> Floats:
        """The numbers of the rows (S, N); an arm of one net gives one row."""
        found = self.statistics(arm)
        keys = [SINGLE] if set(found) == {SINGLE} else seeds
        return np.array([found[s][measure].components for s in keys])

    def rests_on(self, arm: str, measure: str) -> int:
        """The number of rows that a measure uses."""
        return min(of_seed[measure].rows for of_seed in self.statistics(arm).values())

    def common_seeds(self, a: str, b: str) -> list[str]:
        """The seeds by which two arms are paired, in their numerical order."""
        sets = [set(self.records[arm]) for arm in (a, b) if set(self.records[arm]) != {SINGLE}]
        return sorted(set.intersection(*sets), key=seed_order) if sets else [SINGLE]

    def interval(self, name: str, statistics: list[Statistic]) -> dict[str, float | None]:
        """A measure over seeds with the interval that fits its kind."""
        sample, measure = self.resamples.sample(statistics), self.task.measure(name)
        if measure.proportion:
            return as_json(share(sample, self.confidence))
        return as_json(bounded(two_level(sample, self.confidence), measure))

    def margin_of(self, measure: str) -> float:
        """The margin in the units of a measure."""
        return self.margin * self.task.scale(measure, self.predictions.targets)

    def questions(self) -> list[tuple[Question, str]]:
        """Every question that arms and measures allow, with its measure; the headline first, and none twice."""
        found: dict[tuple[str, str, str], tuple[Question, str]] = {}
        for question in self.task.questions:
            if question.a not in self.records or question.b not in self.records:
                continue
            name = question.measure or self.measure
            if self.defines(name, question.a, question.b):
                found.setdefault((question.a, question.b, name), (question, name))
        return list(found.values())


def bounded(interval: Interval, measure: Measure) -> Interval:
    """An interval cut off at the limits of the measure."""
    low, high = measure.bounds
    return Interval(interval.value, max(interval.low, low), min(interval.high, high))


def teachers_of(task: Judgement) -> list[str]:
    """The names of the teachers that a task's controls may have, the main one first."""
    return list(dict.fromkeys([TEACHER, *(c.teacher for c in task.controls.values() if c.teacher)]))


def arms_of(task: Judgement) -> dict[str, Control]:
    """Every arm that a task has words for."""
    return {**task.others, **task.controls}


def open_context(
    task: Judgement,
    predictions: Predictions,
    run: RunFacts,
    *,
    confidence: float,
    margin: float,
    resamples: int,
    valid: Predictions | None,
    measure: str | None,
) -> Context:
    """Check the predictions before they are judged; refuse them if rows or a necessary arm are missing."""
    student, control = task.questions[0][:2]
    # No label, no student that was trained on labels alone: then the teacher is what the student is compared with.
    possible = task.controls[control].rows != "labelled" or run.saw.get(student, {}).get("labels") != 0
    for arm in (student, control if possible else TEACHER):
        if not predictions.records.get(arm):
            raise RejectedError(
                f"There are no predictions of the arm {arm!r}, and without them there is no verdict on distilling. "
                "Run the same command again: it trains the missing arm."
            )
    if not len(predictions.rows):
        raise RejectedError("There are no test rows, so nothing can be judged. Set [data] test above 0.")
    predictions.check(task)
    order = [*teachers_of(task), *task.controls]
    named = [arm for arm in order if predictions.records.get(arm)]
    arms = [*named, *sorted(arm for arm, nets in predictions.records.items() if nets and arm not in named)]
    sorted_records = {
        arm: {seed: predictions.records[arm][seed] for seed in sorted(predictions.records[arm], key=seed_order)}
        for arm in arms
    }
    records = task.prepare(sorted_records, valid)
    rows = RowResamples(len(predictions.rows), resamples)
    return Context(task, predictions, records, rows, run, confidence, margin, measure)


def seed_order(seed: str) -> tuple[int, str]:
    """Sort key that puts seed 10 behind seed 9."""
    return (int(seed) if seed.removeprefix("-").isdecimal() else -1, seed)


def as_json(interval: Interval) -> dict[str, float | None]:
    """An interval with null for what is undefined, since JSON has no NaN."""
    return {k: (float(v) if np.isfinite(v) else None) for k, v in interval._asdict().items()}
