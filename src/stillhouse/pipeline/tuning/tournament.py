"""From a recipe to the run of the best student: the tournament, then an ordinary run with the winner's settings."""

from __future__ import annotations

import time
from pathlib import Path

from stillhouse import hashes
from stillhouse.errors import UsageError
from stillhouse.pipeline.distill import SHARED, distill_run
from stillhouse.pipeline.distributed.following import refuse_torchrun
from stillhouse.pipeline.run.context import Given
from stillhouse.pipeline.run.folder import RECORD, STUDY, RunFolder
from stillhouse.pipeline.run.progress import say
from stillhouse.pipeline.tuning.leaderboard import FILES
from stillhouse.pipeline.tuning.study import Limits, Winner, run_study
from stillhouse.recipe import Recipe


def tune(
    recipe: Recipe,
    given: Given,
    *,
    seconds: float | None,
    trials: int | None,
    seeds: int | None = None,
    accept: bool = False,
) -> RunFolder:
    """Hold a tournament and run its winner; see ``stillhouse.tune``.

    Args:
        recipe: of the run.
        given: what came from Python.
        seconds: of all.
        trials: candidates at most.
        seeds: of the winner's run at most; None: the recipe's.
        accept: continue with a teacher that is not better than its student.

    Raises:
        UsageError: no limit, or the folder holds a run that no tournament has chosen.
    """
    refuse_torchrun("A tournament trains its candidates side by side")
    if seconds is None and trials is None:
        raise UsageError(
            "A tournament needs an end: `--time 600` (seconds) or `--trials 60`, in Python time= or trials=."
        )
    if min(seconds or 1.0, trials or 1) <= 0:
        raise UsageError(f"A tournament of {seconds} seconds or {trials} trials is none. Give a number above 0.")
    until = None if seconds is None else time.monotonic() + seconds
    refuse_other_run(recipe.output.dir, given)
    winner = run_study(recipe, given, Limits(trials, until, seeds), accept=accept)
    say(f"Winner of the tournament: candidate {winner.row.number} ({winner.row.words}).")
    return run_winner(winner)


def refuse_other_run(folder: Path, given: Given) -> None:
    """Refuse a folder with a run that no tournament has chosen: the winner's would take its place."""
    if (folder / RECORD).exists() and not (folder / STUDY).exists() and not given.overwrite:
        raise UsageError(
            f"{folder} holds a run that no tournament has chosen. Choose another folder: `--output.dir FOLDER`, in "
            'Python `out="..."`. Or replace that run: `--overwrite`, in Python `overwrite=True`.'
        )


def run_winner(winner: Winner) -> RunFolder:
    """The run of the winner, in the folder of the user's recipe; that of an earlier winner makes room."""
    inherited = {name: winner.study / name for name in (*SHARED, *FILES)}
    for name in FILES:  # a tournament that went on has another leaderboard
        if hashes.keeps(winner.recipe.output.dir / name):  # not where its hashes are damaged: that run is made anew
            hashes.remove(winner.recipe.output.dir / name)
    # The teacher was admitted in the study, and the user has said there whether it may be worse.
    return distill_run(winner.recipe, winner.given._replace(overwrite=True), accept_teacher=True, inherited=inherited)
