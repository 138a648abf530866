"""Nets that teach are trained once without each fold, and no row is answered by a net that has seen its label."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillhouse.cli import main
from stillhouse.engine import read_weights
from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill, label, plan
from stillhouse.recipe import parse, read
from stillhouse.store import Store
from stillhouse.students import make
from tests.pipeline.helpers import opened
from tests.pipeline.recipes import TINY, write_recipe

FOLDS = 3
QUICK: dict[str, Any] = {"steps": 20, "batch_size": 32, "seeds": [0], "workers": 2}
TEACHER: dict[str, Any] = {"folds": FOLDS, "settings": {"hidden": [16]}, "training": {"steps": 60, "batch_size": 32}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A teacher of 300 labels and one of the student's own 60, both with folds."""
    folder: Path = tmp_path_factory.mktemp("folds")
    recipe = write_recipe(
        folder, teacher=TEACHER | {"labels": 300}, training=QUICK, controls={"same_teacher": True, "all_labels": False}
    )
    return distill(read(recipe), accept_teacher=True)


def net(folder: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """A trained net of the teacher's kind, loaded by hand."""
    made = make("mlp_large", shape=(1, 8, 8), outputs=10, settings={"hidden": [16]})
    made.load_state_dict(read_weights(folder / "model.safetensors")[0])
    return lambda inputs: made.eval()(inputs).log_softmax(-1)


@torch.no_grad()
def closest(run: Run, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """For each training row the net, 0 for the whole one, whose answer to it the store holds; and the labels."""
    have = opened(run).context
    rows = np.arange(len(have.data.train.targets))
    kept = Store.open(run.folder / arm.replace("teacher", "store")).read(rows, np.zeros_like(rows))["logits"]
    said = torch.from_numpy(kept).float().log_softmax(-1)
    folders = [run.folder / arm, *(run.folder / arm / f"fold_{i}" for i in range(FOLDS))]
    apart = torch.stack([(net(folder)(have.data.train.inputs) - said).abs().amax(1) for folder in folders])
    assert float(apart.min(0).values.max()) < 0.02, "each row is answered by one of the nets, up to float16"
    labels = torch.full_like(have.data.train.targets, -1)
    labels[have.labelled] = have.data.train.targets[have.labelled]
    return apart.argmin(0).numpy(), labels.numpy()


def test_labelled_rows_are_answered_by_the_net_of_their_fold_and_all_others_by_the_whole_one(run: Run) -> None:
    answered_by, labels = closest(run, "teacher_same")
    assert (answered_by[labels < 0] == 0).all()
    assert sorted(np.unique(answered_by[labels >= 0]).tolist()) == [1, 2, 3]
    for label_ in range(10):
        sizes = np.bincount(answered_by[labels == label_], minlength=FOLDS + 1)[1:]
        assert sizes.max() - sizes.min() <= 1
    answered_by, _ = closest(run, "teacher")
    assert (answered_by > 0).sum() == 300


def test_what_the_record_and_the_report_say_of_it(run: Run) -> None:
    assert run.record["saw"]["teacher"]["labels"] == 300
    assert run.record["saw"]["teacher_same"]["labels"] == 60
    assert run.record["teacher_gate"]["folds"] == [FOLDS]
    costs = json.loads((run.folder / "costs.json").read_text())
    whole = make("mlp_large", shape=(1, 8, 8), outputs=10, settings={"hidden": [16]})
    assert costs["teacher"]["parameters"] == sum(p.numel() for p in whole.parameters())
    assert costs["teacher_calls"] == 2 * run.record["data"]["train"]
    assert "by one of 3 that did not see them" in (run.folder / "report.html").read_text()


def test_a_lost_fold_is_trained_again_to_the_same_bits_and_the_others_are_left(run: Run, tmp_path: Path) -> None:
    recipe = read(run.folder / "recipe.toml")
    folder = Path(shutil.copytree(run.folder, tmp_path / "run"))
    lost, kept = (folder / "teacher" / name / "model.safetensors" for name in ("fold_1", "fold_2"))
    before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    shutil.rmtree(folder / "store")
    label(recipe.model_copy(update={"output": recipe.output.model_copy(update={"dir": folder})}))
    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp
    rows = np.arange(50)
    first, again = (Store.open(f / "store").read(rows, np.zeros_like(rows)) for f in (run.folder, folder))
    np.testing.assert_array_equal(first["logits"], again["logits"])


def test_a_plan_counts_every_fold(tmp_path: Path) -> None:
    recipe = read(write_recipe(tmp_path, teacher=TEACHER, training=QUICK))
    assert plan(recipe)["teacher_fits"] == 1 + FOLDS


def test_folds_are_refused_where_nothing_is_trained_that_could_leave_rows_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="this teacher comes trained"):
        distill(parse(TINY | {"teacher": {"folds": 3}}), teacher=torch.nn.Flatten(), out=tmp_path / "ready")
    members = {"folds": 3, "member": [{"name": "mlp_large"}, {"name": "extra_trees"}]}
    with pytest.raises(UsageError, match=r"Move it into each \[\[teacher.member\]\]"):
        distill(parse(TINY | {"teacher": members}), out=tmp_path / "members")
    features = {"name": "fitnet", "student_layer": "embedding", "teacher_layer": "embedding"}
    with pytest.raises(UsageError, match="hidden layers have nothing in common"):
        distill(parse(TINY | {"teacher": TEACHER}), method=[features], out=tmp_path / "features")
    assert main(["distill", str(write_recipe(tmp_path, teacher=TEACHER | {"folds": 1}))]) == 2
    assert "greater than or equal to 2" in capsys.readouterr().err


def test_members_have_folds_of_their_own(tmp_path: Path) -> None:
    members = [
        {"name": "mlp_large", "folds": 2, "settings": {"hidden": [8]}, "training": {"steps": 10, "batch_size": 32}},
        {"name": "mlp_large", "settings": {"hidden": [8]}, "training": {"steps": 10, "batch_size": 32}},
    ]
    recipe = write_recipe(tmp_path, training=QUICK)
    told = read(recipe).model_copy(update={"teacher": parse({"teacher": {"member": members}}).teacher})
    made = label(told)
    assert made["rows"] == Store.open(tmp_path / "run" / "store").rows
    found = sorted(str(p.parent.relative_to(tmp_path / "run" / "teacher")) for p in tmp_path.rglob("model.safetensors"))
    assert found == ["0", "0/fold_0", "0/fold_1", "1"]
