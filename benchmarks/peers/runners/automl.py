"""AutoGluon on a table: on the labels alone, and its ``distill()`` with the teacher that it makes of them.

Its students here are boosted trees and random forests; its other two (CatBoost, a net) are not installed.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from autogluon.tabular import TabularPredictor  # type: ignore[import-not-found]
from benchmarks.peers.runners.common import Array, Model, World, run

LABEL = "the_label"
TEACHERS: dict[Any, Any] = {"GBM": {}, "RF": {}, "XT": {}}
STUDENTS: dict[Any, Any] = {"GBM": {}, "RF": {}}
SECONDS = 900  # never reached: what is limited is the list of models


def rows(world: World, numbers: Array) -> Any:
    return world.frame.iloc[numbers]


def predictor(world: World, models: dict[Any, Any]) -> Any:
    """Fitted to the labelled rows, with the labelled validation rows to choose by."""
    known = world.labelled
    train = rows(world, world.train[known]).assign(**{LABEL: world.labels[known]})
    valid = rows(world, world.valid).assign(**{LABEL: world.valid_labels})
    made = TabularPredictor(LABEL, path=tempfile.mkdtemp(), verbosity=0, eval_metric="log_loss")
    settings = {"time_limit": SECONDS, "num_cpus": 1, "num_gpus": 0, "fit_weighted_ensemble": False}
    return made.fit(train, valid, hyperparameters=models, **settings)


def packed(made: Any, names: list[str]) -> Model:
    """The best of some models by the validation rows."""
    best = made.leaderboard().set_index("model").loc[names, "score_val"].idxmax()
    parts = made._trainer.get_minimum_model_set(best)
    files = [file for part in parts for file in (Path(made.path) / "models" / part).rglob("*") if file.is_file()]
    print(f"    {best} of {', '.join(names)}")
    made.persist([best])
    return Model(lambda given: made.predict_proba(given, model=best).to_numpy(), sum(f.stat().st_size for f in files))


def labels_alone(world: World, seed: int) -> Model:
    made = predictor(world, TEACHERS)
    return packed(made, made.model_names())


def distilled(world: World, seed: int) -> Model:
    made = predictor(world, TEACHERS)
    pool = rows(world, world.train[world.labels < 0])
    names = made.distill(
        augmentation_data=pool, hyperparameters=STUDENTS, time_limit=SECONDS, teacher_preds="soft", verbosity=0
    )
    return packed(made, names)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    pd.set_option("mode.copy_on_write", False)
    entries = {"own_teacher": (distilled, 1), "labels": (labels_alone, 1)}
    run(entries, rows, ("autogluon.tabular", "lightgbm", "scikit-learn"))
