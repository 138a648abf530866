"""Groups that the user names are judged one by one, also by columns that the nets never see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w

from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill, evaluate
from stillhouse.pipeline.evaluation.groups import labels_of
from stillhouse.recipe import read
from tests.pipeline.recipes import TINY, write_recipe

TABLE: dict[str, Any] = {
    "views": {"policy": "none"},
    "teacher": {"name": "mlp_large", "training": {"steps": 80, "batch_size": 32}},
    "training": {"steps": 30, "batch_size": 16, "seeds": [0]},
    "controls": {"all_labels": False},
}


def write_table(folder: Path) -> tuple[Path, pd.DataFrame]:
    rng = np.random.default_rng(0)
    rows = 300
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "age": rng.uniform(18, 80, rows),
            "file": rng.choice(["north", "south", ""], rows),
            "id": [f"row-{i}" for i in range(rows)],
        }
    )
    frame["label"] = np.where(frame.a + rng.normal(scale=0.3, size=rows) > 0, "yes", "no")
    frame.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv", frame


def run_table(folder: Path, groups: list[str]) -> tuple[Run, pd.DataFrame]:
    path, frame = write_table(folder)
    table = {
        **TABLE,
        "data": {"path": str(path), "drop": ["file", "id"], "labels": 40},
        "evaluation": {"groups": groups},
    }
    recipe = folder / "recipe.toml"
    recipe.write_text(tomli_w.dumps({**TINY, **table, "output": {"dir": str(folder / "run")}}))
    return distill(read(recipe), accept_teacher=True), frame


def test_a_dropped_column_and_a_number_in_quarters_are_judged_and_counted_as_pandas_does(tmp_path: Path) -> None:
    run, frame = run_table(tmp_path, ["file", "age"])
    with np.load(run.folder / "split.npz") as split:
        test = frame.iloc[split["test"]]
    against = run.scores["models"]["distilled"]["harm"]["against"]["teacher"]
    sites = {entry["name"]: entry["rows"] for entry in against["group:file"]}
    assert sites == test.file.replace("", "(missing)").value_counts().to_dict()
    ages = {entry["name"]: entry["rows"] for entry in against["group:age"]}
    assert sum(ages.values()) == len(test)
    assert len(ages) == 4
    assert evaluate(run.folder) == run.scores, "judging again needs no data"


def test_accuracy_change_of_a_group_is_the_difference_of_its_means(tmp_path: Path) -> None:
    run, frame = run_table(tmp_path, ["file"])
    with np.load(run.folder / "predictions.npz") as p:
        test = frame.iloc[p["rows"]].file.to_numpy() == "north"
        hits = {key: (p[key].argmax(1) == p["targets"])[test].mean() for key in ("teacher/-", "distilled/0")}
    against = run.scores["models"]["distilled"]["harm"]["against"]["teacher"]["group:file"]
    change = next(entry["value"] for entry in against if entry["name"] == "north")
    assert change == pytest.approx(hits["distilled/0"] - hits["teacher/-"])


def test_names_that_are_no_groups_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'age'"):
        run_table(tmp_path, ["agee"])
    assert not (tmp_path / "run" / "teacher").exists()
    with pytest.raises(UsageError, match="holds images"):
        distill(read(write_recipe(tmp_path, evaluation={"groups": ["age"]}, output={"dir": str(tmp_path / "b")})))


def test_a_column_that_names_each_row_is_no_group(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="column 'id' has 300 values, and at most 50 groups"):
        run_table(tmp_path, ["id"])
    assert not (tmp_path / "run" / "teacher").exists()


def test_quarters_are_those_of_the_training_rows() -> None:
    cells = np.append(np.arange(100.0), [np.nan, 1000.0])
    texts = labels_of(cells, np.arange(100), "age")
    assert texts[-2] == "(missing)"
    assert [int((texts[:100] == name).sum()) for name in dict.fromkeys(texts[:100])] == [25, 25, 25, 25]
    assert texts[-1] == texts[99]
