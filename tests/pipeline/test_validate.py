"""Runs whose store keeps less than every logit, or lies outside the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillhouse.errors import UsageError
from stillhouse.pipeline import distill
from stillhouse.recipe import read
from stillhouse.store import Store
from tests.pipeline.recipes import write_recipe

QUICK: dict[str, Any] = {"training": {"steps": 20, "batch_size": 32, "seeds": [0]}, "controls": {"all_labels": False}}


def test_a_run_learns_from_the_largest_classes_alone(tmp_path: Path) -> None:
    method = [{"name": "hinton", "temperature": 3.0}]
    run = distill(read(write_recipe(tmp_path, **QUICK, method=method, store={"codec": "topk:3"})), accept_teacher=True)
    store = Store.open(run.folder / "store")
    assert [field.name for field in store.fields] == ["indices", "log_probs"]
    assert store.key.parts["codec"] == "topk:3:float16"
    assert store.key.parts["temperature"] == "3.0"
    assert run.record["engine"] == {"device": "cpu", "precision": "32-true", "compile": "off"}
    assert run.scores["verdict"]


def test_two_runs_share_the_answers_of_one_teacher(tmp_path: Path) -> None:
    first = distill(read(write_recipe(tmp_path, **QUICK)), accept_teacher=True)
    file = {"file": str(first.folder / "teacher" / "model.safetensors")}
    shared, seen = {"dir": str(tmp_path / "answers")}, []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        steps = {**QUICK["training"], "steps": 20 if name == "a" else 25}
        recipe = write_recipe(tmp_path / name, **{**QUICK, "training": steps}, teacher=file, store=shared)
        run = distill(read(recipe), accept_teacher=True)
        assert not (run.folder / "store").exists()
        (folder,) = (tmp_path / "answers").iterdir()
        seen.append({path.name: path.stat().st_mtime_ns for path in folder.iterdir()})
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"method": [{"name": "dkd"}], "store": {"codec": "topk:3"}}, "'dkd' reads all of them.*forward_kl, hinton"),
        ({"method": [{"name": "reverse_kl"}], "store": {"codec": "sampled:3"}}, r"part \(forward_kl, hinton\)"),
        (
            {"method": [{"name": "hinton"}, {"name": "forward_kl"}], "store": {"codec": "topk:3"}},
            "the methods want 1, 4",
        ),
        ({"store": {"codec": "topp:3"}}, "no codec 'topp'.*'topk'"),
    ],
)
def test_a_codec_that_does_not_suffice_is_refused_before_anything_is_written(
    over: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        distill(read(write_recipe(tmp_path, **over)))
    assert not (tmp_path / "run" / "run.json").exists()
