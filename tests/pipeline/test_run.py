"""A whole run, from a recipe to a judged student, on real data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import stillhouse
from stillhouse.engine import read_weights
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline import Run, distill, evaluate, label, predict
from stillhouse.pipeline.run.labels import visible_labels
from stillhouse.recipe import Output, read
from stillhouse.task import VERDICTS
from tests.data.reading import read as read_source
from tests.pipeline.helpers import opened
from tests.pipeline.recipes import write_recipe


def test_the_run_folder_holds_what_the_plan_lists(finished: Run) -> None:
    names = {p.name for p in finished.folder.iterdir() if not p.name.startswith(".")}
    assert names >= {
        "recipe.toml", "run.json", "split.npz", "teacher", "teacher_same", "store", "store_same", "fits",
        "metrics.jsonl", "student", "predictions.npz", "gallery.npz", "costs.json", "scores.json", "report.html",
    }  # fmt: skip


def test_every_arm_is_trained_on_every_seed_and_told_apart(finished: Run) -> None:
    scores = finished.scores
    assert set(scores["models"]) >= {
        "teacher", "teacher_same", "labels_only", "distilled", "all_labels", "distilled_same",
    }  # fmt: skip
    saw = scores["saw"]
    assert saw["labels_only"] == {"labels": 60, "unlabelled": 0, "teacher": None}
    assert saw["distilled"]["labels"] == 60
    rows = finished.record["data"]["train"]
    assert saw["distilled"]["unlabelled"] == rows - 60
    assert saw["all_labels"]["labels"] == saw["teacher"]["labels"] == rows
    assert saw["teacher_same"]["labels"] == 60
    assert scores["seeds"] == [0, 1]


def test_no_row_is_both_taught_and_tested(finished: Run) -> None:
    with np.load(finished.folder / "split.npz") as split:
        parts = [set(split[k].tolist()) for k in ("train", "valid", "test")]
        labelled = set(split["labelled"].tolist())
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797
    assert labelled < parts[0]


def test_all_arms_of_a_seed_start_from_the_same_student_and_rows_only_differ_by_right(finished: Run) -> None:
    from tests.pipeline.helpers import initial_states

    one, *others = initial_states(finished)
    for other in others:
        assert all(torch.equal(one[k], other[k]) for k in one)


def test_metrics_name_arm_seed_and_shares(finished: Run) -> None:
    lines = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
    distilled = [line for line in lines if line["arm"] == "distilled" and line["seed"] == 1]
    assert [line["step"] for line in distilled] == [10, 20, 30, 40]
    assert set(distilled[0]["shares"]) == {"labels", "hinton"}
    assert {line["arm"] for line in lines} >= {"teacher", "teacher_same", "labels_only", "all_labels", "distilled_same"}


def test_judging_again_needs_neither_data_nor_model_and_says_the_same(finished: Run) -> None:
    before = finished.scores
    assert evaluate(finished.folder) == before


def test_the_same_call_again_does_nothing_anew(finished: Run) -> None:
    weights = finished.folder / "fits" / "distilled" / "0" / "model.safetensors"
    stamp = weights.stat().st_mtime_ns
    distill(read(finished.folder.parent / "recipe.toml"))
    assert weights.stat().st_mtime_ns == stamp


def test_the_loaded_student_answers_raw_rows_as_the_judgement_says(finished: Run) -> None:
    model = stillhouse.load(finished.folder)
    source = read_source(name="digits")
    with np.load(finished.folder / "split.npz") as split:
        rows = split["test"]
    right = model.predict(source.raw[rows]) == np.asarray(source.label_values)[source.targets[rows]]
    first = finished.scores["models"]["distilled"]["seeds"]["0"]["accuracy"]
    assert right.mean() == pytest.approx(first, abs=1e-9)
    assert model.predict_proba(source.raw[rows]).sum(1) == pytest.approx(1.0)


def test_predict_writes_a_row_for_each_row_in_order(finished: Run, tmp_path: Path) -> None:
    import pandas as pd

    source = read_source(name="digits")
    np.savez(tmp_path / "rows.npz", x=source.raw[:30])
    assert predict(finished.folder, tmp_path / "rows.npz", tmp_path / "out.csv") == 30
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written.columns) == ["class", *(f"p_{c}" for c in source.names)]
    found = finished.load().predict(source.raw[:30])
    assert found.dtype.kind == "i", "as the set's own labels are"
    np.testing.assert_array_equal(written["class"].to_numpy(), found)


def test_another_recipe_is_refused_by_naming_the_difference(finished: Run, tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path, training={"lr": 0.5}, output={"dir": str(finished.folder)}, controls={"same_teacher": True}
    )
    with pytest.raises(UsageError, match=r"another recipe.*training\.lr"):
        distill(read(recipe))


def test_a_folder_that_is_not_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a run folder"):
        distill(read(write_recipe(tmp_path)))
    assert (tmp_path / "run" / "thesis.txt").read_text() == "mine"


def test_labelling_alone_fills_the_store_that_the_run_then_uses(tmp_path: Path) -> None:
    recipe = read(write_recipe(tmp_path, training={"seeds": [0], "steps": 20}))
    told = label(recipe)
    assert told["views"] == 2
    manifest = tmp_path / "run" / "store" / "manifest.json"
    stamp = manifest.stat().st_mtime_ns
    run = distill(recipe)
    assert manifest.stat().st_mtime_ns == stamp
    assert set(run.scores["models"]) >= {"teacher", "labels_only", "distilled", "all_labels"}


def test_fewer_rows_than_a_batch_says_which_number_to_write(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match=r"batch_size = \d+"):
        distill(read(write_recipe(tmp_path, training={"batch_size": 5000})))


def test_a_teacher_may_be_given_any_number_of_labels(finished: Run, tmp_path: Path) -> None:
    recipe = read(finished.folder / "recipe.toml")
    for wanted, expected in (("same", 60), (30, 30), (200, 200)):
        section = recipe.teacher.model_copy(update={"labels": wanted})
        changed = recipe.model_copy(update={"teacher": section})
        have = opened(changed.model_copy(update={"output": Output(dir=tmp_path / str(wanted))})).context
        seen = visible_labels(have)
        assert int((seen >= 0).sum()) == expected
        assert bool(((seen == have.data.train.targets) | (seen == -1)).all())


def test_methods_with_hidden_layers_need_a_teacher_that_has_some(tmp_path: Path) -> None:
    over = {
        "teacher": {"name": "extra_trees", "settings": {}},
        "method": [{"name": "fitnet", "student_layer": "0", "teacher_layer": "0"}],
    }
    with pytest.raises(UsageError, match="hidden layers"):
        distill(read(write_recipe(tmp_path, **over)))


@pytest.mark.parametrize(("student", "teacher"), [("blocks.9", "blocks.0"), ("blocks.0", "block.0")])
def test_a_layer_that_does_not_exist_is_told_before_anything_is_trained(
    student: str, teacher: str, tmp_path: Path
) -> None:
    method = [{"name": "fitnet", "student_layer": student, "teacher_layer": teacher}]
    with pytest.raises(UsageError, match=r"blocks\.0"):
        distill(read(write_recipe(tmp_path, method=method)))
    assert not (tmp_path / "run" / "teacher").exists()


def test_own_modules_and_loaders_go_through_the_same_door(tmp_path: Path) -> None:
    made = torch.Generator().manual_seed(0)
    x = torch.randn(400, 5, generator=made)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).long()
    big = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 2))
    optimiser = torch.optim.Adam(big.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(big(x[:300]), y[:300]).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    whole = torch.utils.data.TensorDataset(x, y)
    train = torch.utils.data.DataLoader(torch.utils.data.Subset(whole, range(300)), batch_size=32, shuffle=True)
    run = stillhouse.distill(
        teacher=big,
        student=lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2)),
        data=(train, None, torch.utils.data.Subset(whole, range(300, 400))),
        method=["hinton", {"name": "fitnet", "student_layer": "1", "teacher_layer": "1"}],
        out=tmp_path / "small",
        steps=60,
        batch_size=32,
        seeds=[0, 1],
        recipe={"evaluation": {"resamples": 200}},
    )
    assert run.verdict in VERDICTS
    assert run.scores["saw"]["teacher"]["labels"] is None
    weights = read_weights(run.folder / "student" / "model.safetensors")[0]
    assert set(weights) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    with pytest.raises(UsageError, match="module=YourStudent"):
        stillhouse.load(run.folder)
    again = stillhouse.load(run.folder, module=nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2)))
    assert len(again.predict(x[:7])) == 7
