"""Optuna's part: the study in a file of JSON lines, and what is drawn next.

A generation of candidates is drawn together, each by a sampler that is seeded by (seed, number), from what the
generations before it found. So what is drawn does not depend on which candidate of a generation ends first, on the
number of workers, or on where a call was interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stillhouse import hashes
from stillhouse.extras import library
from stillhouse.files import write_atomic
from stillhouse.pipeline.tuning.candidate import DONE, FAILED, STOPPED
from stillhouse.pipeline.tuning.space import Choice, Space

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FILE, NAME = "study.jsonl", "tournament"
GENERATION = 4  # candidates that are drawn together
STARTUP = 10  # candidates that are drawn at random, before Optuna's model of the good ones draws
SAMPLER = f"Optuna's TPESampler, {GENERATION} candidates at a time"
WORDS = "words"  # the user attribute of a trial: what it was
OF = "of"  # the user attribute of the study: the identity of its run


class Drawn(NamedTuple):
    """A candidate that is to be tried."""

    number: int
    choice: Choice
    params: dict[str, Any]
    distributions: dict[str, BaseDistribution]


@contextmanager
def quiet() -> Iterator[Any]:
    """Optuna, without a line for each trial.

    Raises:
        UsageError: it is not installed.
    """
    optuna = library("optuna", "A tournament")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)


class Journal:
    """The study of a folder: Optuna's journal, one JSON object a line; it holds candidates in the order of numbers.

    Args:
        folder: of the study.
        identity: of its run; the journal of another one, which was overwritten, is not continued.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        with quiet() as optuna:
            self.file = file = folder / FILE
            if file.exists():  # a line that a kill has cut is dropped
                hashes.check(file, ours=False)
                whole = file.read_bytes()
                write_atomic(file, whole[: whole.rfind(b"\n") + 1])
                hashes.record_start(file)
            backend = optuna.storages.journal.JournalFileBackend(str(file))
            self.study: Study = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name=NAME,
                direction="maximize",
                load_if_exists=True,
            )
            self.continues = self.study.user_attrs.get(OF, identity) == identity
            self.study.set_user_attr(OF, identity)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All that have ended, by number."""
        return self.study.get_trials(deepcopy=False)

    def add(self, drawn: Drawn, facts: Mapping[str, Any]) -> None:
        """Add what became of a candidate; of one that is there already nothing."""
        if drawn.number < len(self.trials):
            return
        with quiet() as optuna:
            states = {
                DONE: optuna.trial.TrialState.COMPLETE,
                STOPPED: optuna.trial.TrialState.PRUNED,
                FAILED: optuna.trial.TrialState.FAIL,
            }
            rungs = {int(rung): value for rung, value in facts["rungs"].items()}
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=states[facts["state"]],
                    value=next(iter(facts["figures"].values())) if facts["state"] == DONE else None,
                    params=drawn.params,
                    distributions=drawn.distributions,
                    intermediate_values=rungs,
                    user_attrs={WORDS: facts["words"]},
                )
            )
            hashes.record_start(self.file)


def generation(
    space: Space, starts: Sequence[Mapping[str, Any]], earlier: Sequence[FrozenTrial], last: int, seed: int
) -> list[Drawn]:
    """Draw the next candidates, of numbers below ``last``.

    Args:
        space: what may vary.
        starts: the parameters of the first candidates.
        earlier: those that have ended.
        last: the number at which the tournament ends.
        seed: of the tournament.
    """
    first = begins(earlier)
    with quiet() as optuna:
        study = optuna.create_study(direction="maximize")
        study.add_trials(earlier[:first])
        found = []
        for number in range(first, min(first + GENERATION, last)):
            one = int(np.random.default_rng([seed, number]).integers(2**31))
            study.sampler = optuna.samplers.TPESampler(seed=one, n_startup_trials=STARTUP)
            if number < len(starts):
                study.enqueue_trial(dict(starts[number]))
            trial = study.ask()
            choice = space.propose(trial)
            found.append(Drawn(number, choice, dict(trial.params), dict(trial.distributions)))
    return found


def begins(earlier: Sequence[FrozenTrial]) -> int:
    """The first number of the generation that is not whole yet."""
    return len(earlier) // GENERATION * GENERATION


def at_rungs(earlier: Sequence[FrozenTrial]) -> dict[int, list[float]]:
    """What the candidates of whole generations had at each rung."""
    found: dict[int, list[float]] = {}
    for trial in earlier[: begins(earlier)]:
        for rung, value in trial.intermediate_values.items():
            found.setdefault(rung, []).append(value)
    return found
