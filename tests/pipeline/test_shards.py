"""Labelling by several processes: one plans, each labels its share, and the run goes on with the merged store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import stillhouse as sh
from stillhouse import store
from stillhouse.errors import RejectedError, UsageError
from stillhouse.pipeline.distributed.shards import share_named
from stillhouse.pipeline.student.config import WEIGHTS
from stillhouse.store.part_care import merge, status
from stillhouse.store.places import Folder
from stillhouse.teachers.label import Asker
from tests.shell import run
from tests.store import tiny_parts

X = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0)
DATA = ((X[:110], Y[:110]), (X[110:130], Y[110:130]), (X[130:], Y[130:]))
RECIPE: dict[str, Any] = {"student": {"name": "mlp_tiny"}, "store": {"part_bytes": 200, "block_rows": 16}}


def teacher(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Linear(6, 3)
    nn.init.ones_(net.weight[seed])
    return net


def label(out: Path, recipe: dict[str, Any] = RECIPE, **more: Any) -> dict[str, Any]:
    return sh.label(recipe, out=out, **{"teacher": teacher(), "data": DATA, "steps": 3, "verbose": False, **more})


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose parts are all labelled, in shares, and merged."""
    out = tmp_path_factory.mktemp("shares") / "run"
    told = label(out, plan=True)
    assert (told["parts"], told["part_rows"], told["done"]) == (4, 32, 0)
    for share in ("2/3", "0/3", "0/3", "1/3"):
        told = label(out, shard=share)
    assert told["missing"] == 0
    merge(Folder(out / "store"))
    return out


def test_shares_in_any_order_and_one_twice_give_the_bytes_of_one_process(tmp_path: Path, shares: Path) -> None:
    label(tmp_path / "one")
    assert tiny_parts.contents(tmp_path / "one" / "store") == tiny_parts.contents(shares / "store")


def test_the_run_goes_on_without_a_further_question(shares: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asker, "__call__", None)
    assert label(shares)["rows"] == 110  # the step of ``distill`` that asks the teacher


def test_a_share_without_its_plan_is_refused(tmp_path: Path, shares: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no plan in .*label RECIPE --plan"):
        label(tmp_path / "run", shard="0/2")
    with pytest.raises(UsageError, match=r"plan of another recipe \(teacher"):
        label(shares, teacher=teacher(1), shard="0/2")
    with pytest.raises(UsageError, match=r"plan of another recipe \(.*data"):
        label(shares, data=((X[:109], Y[:109]), *DATA[1:]), shard="0/2")
    with pytest.raises(UsageError, match="counted from 0"):
        label(shares, shard="3/3")


def test_what_a_share_loses_is_asked_again_and_nothing_else(tmp_path: Path, shares: Path) -> None:
    folder = tmp_path / "run"
    label(folder, plan=True)
    label(folder, shard="0/1")
    tiny_parts.change(next((folder / "store" / "parts").glob("00000001.logits.*")))
    store.repair(folder / "store")
    assert status(Folder(folder / "store")).missing == [1]
    label(folder)
    assert tiny_parts.contents(folder / "store") == tiny_parts.contents(shares / "store")


def test_a_plan_of_other_answers_in_this_place_is_refused(tmp_path: Path) -> None:
    label(tmp_path / "a", plan=True)
    other = dict(RECIPE, store={**RECIPE["store"], "dtype": "float32"})
    label(tmp_path / "b", recipe=other, plan=True)
    plan = tmp_path / "a" / "store" / "plan.json"
    plan.write_bytes((tmp_path / "b" / "store" / "plan.json").read_bytes())
    with pytest.raises(RejectedError, match="planned for answers to another question: codec differs"):
        label(tmp_path / "a", shard="0/2")


def test_array_jobs_name_their_share() -> None:
    slurm = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "3", "SLURM_ARRAY_TASK_STEP": "2"}
    assert share_named("auto", slurm | {"SLURM_ARRAY_TASK_COUNT": "4"}) == "2/4"
    assert share_named("auto/5", {"JOB_COMPLETION_INDEX": "4"}) == "4/5"
    with pytest.raises(UsageError, match=r"JOB_COMPLETIONS says nothing.*auto/N"):
        share_named("auto", {"JOB_COMPLETION_INDEX": "4"})
    with pytest.raises(UsageError, match="elsewhere `--shard 0/4`"):
        share_named("auto", {})


@pytest.mark.slow
def test_the_commands_in_a_row(tmp_path: Path) -> None:
    """A teacher that is trained here, a recipe in a file, three processes, and the run behind them."""
    recipe = tmp_path / "r.toml"
    tables = ['[data]\nname = "digits"', '[teacher]\nname = "mlp_tiny"', "[teacher.training]\nsteps = 200"]
    tables += ['[student]\nname = "mlp_tiny"', "[training]\nsteps = 20\nseeds = [0]", "[store]\npart_bytes = 4000"]
    tables += ["[evaluation]\nresamples = 200", "[controls]\nsimple = false\nself_trained = false"]
    recipe.write_text("\n".join([*tables, f'[output]\ndir = "{tmp_path / "run"}"']))
    shares, store_folder = [f"label {recipe} --shard {i}/2" for i in range(2)], tmp_path / "run" / "store"
    assert run(shares[0])[0] == 2
    assert run(f"label {recipe} --plan")[0] == 0
    weights = (tmp_path / "run" / "teacher" / WEIGHTS).read_bytes()
    assert run(shares[1])[0] == 0
    code, _, said = run(f"store merge {store_folder}")
    assert code == 4
    assert "parts 0, 2" in said
    assert run(shares[0])[0] == 0
    assert run(f"store merge {store_folder}")[0] == 0
    assert run(f"store verify {store_folder}")[0] == 0
    assert "0 missing" in run(f"store status {store_folder}")[1]
    before = tiny_parts.contents(store_folder)
    assert run(f"distill {recipe} --accept-teacher")[0] == 0
    assert tiny_parts.contents(store_folder) == before
    assert (tmp_path / "run" / "teacher" / WEIGHTS).read_bytes() == weights
