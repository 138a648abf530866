"""Several processes train the nets of a run: started by the run itself, or by torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stillhouse as sh
from stillhouse import pipeline
from stillhouse.engine import ALONE, Group, LostProcessError, read_weights
from stillhouse.errors import StillhouseError, UsageError
from stillhouse.recipe import parse
from tests.engine.several import Stopping, case, differ, together, trained

RECIPE = """
[data]
arrays = "FOLDER/rows.npz"
no_label = -1
[teacher]
name = "extra_trees"
[training]
steps = 12
seeds = [0]
[controls]
self_trained = true
[output]
dir = "FOLDER/run"
"""


def files(folder: Path) -> Path:
    """A recipe and its rows, nine in ten without a label."""
    folder.mkdir(parents=True)
    drawn = np.random.default_rng(0)
    inputs = drawn.normal(size=(600, 6)).astype("float32")
    targets = inputs[:, :3].argmax(1)
    targets[60:400] = -1
    np.savez(folder / "rows.npz", x=inputs, y=targets)
    (folder / "recipe.toml").write_text(RECIPE.replace("FOLDER", str(folder)))
    return folder


def fits(folder: Path) -> dict[str, Tensor]:
    """The weights of all students of a run."""
    found = sorted((folder / "run" / "fits").rglob("*.safetensors"))
    return {
        f"{file.parent}/{key}".removeprefix(str(folder)): value
        for file in found
        for key, value in read_weights(file)[0].items()
    }


def distilled(folder: Path, **training: Any) -> dict[str, Tensor]:
    """The students of a run in a folder of its own."""
    table = tomllib.loads((files(folder) / "recipe.toml").read_text())
    table["training"] |= training
    sh.distill(table, accept_teacher=True, verbose=False)
    return fits(folder)


@pytest.mark.slow
def test_a_run_in_two_processes_and_one_by_torchrun_end_with_the_bits_of_one(tmp_path: Path) -> None:
    one = distilled(tmp_path / "one", slices=2)
    assert any("distilled" in name for name in one)
    assert differ(one, distilled(tmp_path / "two", devices=2)) == 0
    folder = files(tmp_path / "torchrun")
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "stillhouse", "distill"]
    asked = subprocess.run(
        [*start, "recipe.toml", "--training.devices", "2", "--accept-teacher"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.count("report:") == 1
    assert differ(one, fits(folder)) == 0


@pytest.mark.slow
def test_shares_of_the_fits_in_any_order_make_the_run_of_one_call(tmp_path: Path, capsys: Any) -> None:
    one = distilled(tmp_path / "one", seeds=[0, 1])
    folder = files(tmp_path / "shares")
    recipe = str(folder / "recipe.toml")
    (folder / "recipe.toml").write_text(Path(recipe).read_text().replace("seeds = [0]", "seeds = [0, 1]"))
    with pytest.raises(UsageError, match="stillhouse label RECIPE"):
        pipeline.fit_students(recipe, share="1/3", verbose=False)
    sh.label(recipe, verbose=False)
    first = pipeline.fit_students(recipe, share="1/3", verbose=False)
    again = pipeline.fit_students(recipe, share="1/3", verbose=False)
    assert first == again
    assert not set(first["trained"]) & set(first["missing"])
    last = pipeline.fit_students(recipe, share="2/3", verbose=False)
    sh.distill(recipe, accept_teacher=True)
    assert f"Missing: {', '.join(last['missing'])}." in capsys.readouterr().err
    assert differ(one, fits(folder)) == 0


class Failing(Stopping):
    """Batches of which one ends the second process."""

    how: Any = None

    def at(self, step: int, net: torch.nn.Module) -> Any:
        if step == self.last and not self.group.leads:
            self.how()
        return super(Stopping, self).at(step, net)


@pytest.mark.slow
def test_a_killed_process_ends_all_with_its_number_and_the_same_call_resumes(tmp_path: Path, monkeypatch: Any) -> None:
    one = trained(case("hinton"), tmp_path / "one", ALONE, 2, steps=30)

    def fit(group: Group) -> Mapping[str, Tensor]:
        return trained(case("hinton"), tmp_path / "two", group, 2, steps=30, stop=25)

    monkeypatch.setattr("tests.engine.several.Stopping", Failing)
    Failing.how = staticmethod(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(LostProcessError, match=r"Process 1 of 2 .* by SIGKILL.*run the same command again"):
        together(2, fit)
    Failing.how = staticmethod(lambda: None)
    assert differ(one, together(2, fit)) == 0


@pytest.mark.slow
def test_an_error_in_another_process_is_the_error_of_the_run(tmp_path: Path, monkeypatch: Any) -> None:
    def fail() -> None:
        raise StillhouseError("the disk of this machine is gone")

    monkeypatch.setattr("tests.engine.several.Stopping", Failing)
    Failing.how = staticmethod(fail)
    with pytest.raises(StillhouseError, match="the disk of this machine is gone") as found:
        together(2, lambda group: trained(case("hinton"), tmp_path, group, 2, stop=3))
    assert "In process 1 of 2" in str(found.value.__notes__)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"slices": 3}, "no power of two"),
        ({"slices": 2, "devices": 4}, "set a multiple"),
        ({"devices": 2, "strategy": "fsdp"}, "every device has all of the net"),
    ],
)
def test_ways_to_share_a_net_that_are_not_there_are_refused(training: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse({"training": training})


@pytest.mark.parametrize(
    ("training", "there", "words"),
    [
        ({"nodes": 2}, {}, "torchrun --nnodes 2"),
        ({"devices": 2}, {"WORLD_SIZE": "3"}, "There are 3 processes"),
        ({}, {"WORLD_SIZE": "2"}, "There are 2 processes"),
    ],
)
def test_processes_that_are_not_there_are_refused_before_data_are_read(
    training: dict[str, Any], there: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if there:
        names = {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
        for name, value in (names | there).items():
            monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=words):
        sh.distill({"data": {"path": "absent.csv"}, "training": training}, out=tmp_path / "run", verbose=False)


@pytest.mark.slow
def test_a_student_that_is_fitted_at_once_takes_no_processes(tmp_path: Path) -> None:
    recipe = {"student": {"name": "decision_tree"}, "training": {"devices": 2}}
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype("float32"), np.arange(60) % 3
    with pytest.raises(UsageError, match="fitted at once"):
        sh.distill(recipe, data=(rows, None, rows), teacher="extra_trees", out=tmp_path / "run", verbose=False)


def test_the_number_of_processes_is_not_part_of_a_run_and_that_of_slices_is() -> None:
    def digest(**training: Any) -> str:
        return parse({"training": training}).digest()

    assert digest(strategy="ddp") == digest()
    assert digest(devices=2, slices=4) == digest(slices=4) == digest(devices=2, nodes=2)
    assert digest(devices=2) == digest(slices=2) != digest(slices=4)
    assert digest() == digest(workers=1) != digest(slices=1) == digest(slices=1, workers=2)
