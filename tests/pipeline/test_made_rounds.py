"""A maker that is trained against the teacher of a run: rounds, their rows, and what they are judged against."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.makers import base as makers
from stillhouse.makers.inversion import Inversion
from stillhouse.pipeline.made import alarms, training
from stillhouse.pipeline.made.training import scout_seed
from stillhouse.pipeline.run.folder import read_json
from stillhouse.store import Store
from tests.pipeline.recipes import TINY, stillhouse, write_recipe
from tests.pipeline.test_interruptions import start_until, student_bits

INVERSION = {
    "name": "inversion", "count": 41, "rounds": 2, "steps": 6, "batch_size": 8, "width": 2, "scout_steps": 5,
}  # fmt: skip
FEW = {"rows": 40, "labels": 20}


def recipe(folder: Path, **over: Any) -> Path:
    return write_recipe(folder, **({"made": [INVERSION, {"name": "blobs", "count": 9}], "data": FEW} | over))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    return sh.distill(recipe(tmp_path_factory.mktemp("rounds")), verbose=False)


def test_rows_of_all_rounds_are_kept_and_asked(run: sh.Run) -> None:
    sizes = [len(np.load(run.folder / "made" / "0-inversion" / f"round-{r}.npz")["rows"]) for r in range(2)]
    assert sizes == [21, 20]
    assert Store.open(run.folder / "store").rows == 40 + 41 + 9


def test_the_student_is_judged_against_real_rows_and_free_makers_with_as_many_answers_and_steps(run: sh.Run) -> None:
    saw = read_json(run.folder / "run.json")["saw"]
    assert saw["distilled"]["made"] == saw["distilled_free"]["made"] == 50
    assert "made" not in saw["distilled_real"]
    assert saw["distilled_real"]["unlabelled"] == 20
    stores = {name: Store.open(run.folder / name) for name in ("store", "store_real", "store_free", "store_all")}
    answers = {name: store.rows * store.views for name, store in stores.items()}
    assert answers["store"] == answers["store_free"] == 180
    assert 180 <= answers["store_real"] < 180 + 40
    compared = {c["b"] for c in run.scores["comparisons"] if c["headline"]}
    assert {"labels_only", "distilled_real", "distilled_free"} <= compared


def test_the_page_and_the_files_that_ship_hold_no_made_row(run: sh.Run) -> None:
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "The rows that were made" in page
    assert "Made rows are not private" in page
    assert "made" not in str(read_json(run.folder / "run.json").get("left_out", {}))
    assert {p.name for p in (run.folder / "student").iterdir()}.isdisjoint({"made"})


@pytest.mark.slow
def test_the_same_call_makes_nothing_again_and_a_lost_round_comes_back_as_it_was(run: sh.Run, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run.folder, copied)
    kept = np.load(copied / "made" / "0-inversion" / "round-1.npz")["rows"]
    (copied / "made" / "0-inversion" / "round-1.npz").unlink()
    again = sh.distill(recipe(tmp_path), verbose=False)
    assert np.array_equal(np.load(again.folder / "made" / "0-inversion" / "round-1.npz")["rows"], kept)
    assert again.scores["models"] == run.scores["models"]


@pytest.mark.slow
def test_without_any_real_row_the_free_makers_are_the_rival(tmp_path: Path) -> None:
    made = sh.distill(recipe(tmp_path, data={"rows": 0, "labels": "all"}, made=[INVERSION]), verbose=False)
    assert [c["b"] for c in made.scores["comparisons"] if c["headline"]] == ["distilled_free"]
    assert "distilled_real" in read_json(made.folder / "run.json")["left_out"]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixup", "cutmix"])
def test_rounds_go_with_views_that_mix_rows(policy: str, tmp_path: Path) -> None:
    made = sh.distill(recipe(tmp_path, views={"policy": policy, "count": 2}, made=[INVERSION]), verbose=False)
    assert Store.open(made.folder / "store").rows == 40 + 41
    again = sh.distill(recipe(tmp_path, views={"policy": policy, "count": 2}, made=[INVERSION]), verbose=False)
    assert again.scores == made.scores


def test_a_teacher_without_a_gradient_is_refused_and_free_makers_are_named(tmp_path: Path) -> None:
    teacher = {"name": "extra_trees", "labels": "all", "settings": {"n_estimators": 5}, "training": {}}
    with pytest.raises(UsageError, match=r"inversion.*differentiated.*extra_trees.*strokes, glyphs, blobs"):
        sh.distill(recipe(tmp_path, teacher=teacher), verbose=False, accept_teacher=True)


def forest() -> Any:
    x, y = load_digits(return_X_y=True)
    return RandomForestClassifier(5, random_state=0).fit(x[:300], y[:300])


def answers(rows: np.ndarray) -> np.ndarray:
    return np.zeros((len(rows), 10), np.float32)


def onnx_file(folder: Path) -> str:
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    program = torch.onnx.export(net, (torch.zeros(2, 1, 8, 8),), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(folder / "net.onnx"))
    return str(folder / "net.onnx")


@pytest.mark.parametrize("kind", ["trees", "callable", pytest.param("onnx", marks=pytest.mark.slow)])
def test_a_ready_teacher_without_a_gradient_is_refused_before_it_is_asked(kind: str, tmp_path: Path) -> None:
    table = {**TINY, "made": [INVERSION], "output": {"dir": str(tmp_path / "run")}}
    given: Any = {"trees": forest(), "callable": answers, "onnx": None}[kind]
    if kind == "onnx":
        table["teacher"] = {"file": onnx_file(tmp_path)}
    else:
        del table["teacher"]
    with pytest.raises(UsageError, match=r"inversion.*differentiated.*strokes, glyphs, blobs"):
        sh.distill(table, teacher=given, verbose=False)
    assert not (tmp_path / "run" / "store").exists()


@pytest.mark.slow
def test_a_service_of_texts_is_refused_and_the_free_maker_of_texts_is_named(tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    table.write_text("text,label\n" + "".join(f"word {n} and {n % 2},{'ab'[n % 2]}\n" for n in range(60)))
    service = {"endpoint": {"url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": ""}}
    given = {
        "data": {"text": str(table)},
        "teacher": service,
        "made": [INVERSION],
        "output": {"dir": str(tmp_path / "run")},
    }
    with pytest.raises(UsageError, match=r"inversion.*kind image.*kind text.*word_mixture"):
        sh.distill(given, verbose=False)


@pytest.mark.slow
@pytest.mark.parametrize("until", ["round-0/metrics.jsonl", "round-0.npz", "scout-1/metrics.jsonl"])
def test_a_run_that_is_killed_while_it_makes_rows_ends_with_the_same_rows_and_students(
    until: str, tmp_path: Path
) -> None:
    long = INVERSION | {"steps": 120, "scout_steps": 120}
    whole, killed = (recipe(tmp_path / name, made=[long]) for name in ("whole", "killed"))
    assert stillhouse("distill", str(whole)).returncode == 0
    process = start_until(killed, tmp_path / "killed" / "run" / "made" / "0-inversion" / until)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    again = stillhouse("distill", str(killed))
    assert again.returncode == 0, again.stderr
    arms = ("distilled", "distilled_free", "labels_only")
    for folder in ("whole", "killed"):
        assert (tmp_path / folder / "run" / "made" / "0-inversion" / "round-1.npz").exists()
    rows = [
        np.load(tmp_path / name / "run" / "made" / "0-inversion" / "rows.npz")["rows"] for name in ("whole", "killed")
    ]
    assert np.array_equal(*rows)
    assert student_bits(tmp_path / "killed" / "run", arms) == student_bits(tmp_path / "whole" / "run", arms)


@pytest.mark.slow
def test_a_plan_counts_the_steps_of_generators_and_of_their_rivals_and_refuses_as_a_run_does(tmp_path: Path) -> None:
    told = [
        sh.plan(recipe(tmp_path, made=[INVERSION | over]), verbose=False)["seconds"]["make rows"]
        for over in ({}, {"steps": 6000}, {"scout_steps": 50_000}, {"scout_steps": 50_000, "rounds": 1})
    ]
    assert min(told[1], told[2]) > 10 * max(told[0], told[3], 0.1)
    gan = {"name": "conditional_gan", "count": 30, "steps": 2000, "batch_size": 8, "width": 2}
    trees = {"name": "extra_trees", "labels": "all", "settings": {"n_estimators": 5}, "training": {}}
    assert sh.plan(recipe(tmp_path, made=[gan], teacher=trees), verbose=False)["seconds"]["make rows"] > 0
    with pytest.raises(UsageError, match=r"inversion.*differentiated"):
        sh.plan(recipe(tmp_path, teacher=trees), verbose=False)


@pytest.mark.slow
def test_a_conditional_gan_is_judged_against_real_rows_and_free_makers_whatever_the_teacher_is(tmp_path: Path) -> None:
    made = [{"name": "conditional_gan", "count": 30, "steps": 8, "batch_size": 8, "width": 2}]
    trees = {"name": "extra_trees", "labels": "all", "settings": {"n_estimators": 5}, "training": {}}
    run = sh.distill(recipe(tmp_path, made=made, teacher=trees), verbose=False, accept_teacher=True)
    compared = {c["b"] for c in run.scores["comparisons"] if c["headline"]}
    assert {"distilled_real", "distilled_free"} <= compared
    assert "conditional_gan" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_the_student_that_makers_are_trained_against_is_none_of_the_judged_ones() -> None:
    assert scout_seed(1, [0, 1, 2]) == 3
    assert scout_seed(1, [0, 2]) == 1


@pytest.mark.slow
def test_entries_of_one_maker_train_generators_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [INVERSION | {"count": 20, "rounds": 1}] * 2
    told = sh.make(recipe(tmp_path, made=made), verbose=False)["made"]
    first, second = (np.load(one["file"])["rows"] for one in told)
    again = sh.make(recipe(tmp_path, made=made[:1], output={"dir": str(tmp_path / "one")}), verbose=False)["made"]
    assert np.array_equal(np.load(again[0]["file"])["rows"], first)
    assert not np.array_equal(first, second)
    seen: list[int] = []
    one = Inversion.make_round

    def noted(maker: Inversion, shop: makers.Workshop, ids: Any) -> Any:
        seen.append(shop.seed)
        return one(maker, shop, ids)

    monkeypatch.setattr(Inversion, "make_round", noted)
    sh.make(recipe(tmp_path, made=made, output={"dir": str(tmp_path / "two")}), verbose=False)
    assert len(set(seen)) == 2


@pytest.mark.slow
def test_where_rounds_are_left_out_free_makers_make_as_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarms, "LEAST_ENTROPY", 0.0)
    monkeypatch.setattr(alarms, "LEAST_SHARE", 0.0)
    found = iter([["odd"], [], []])  # of the rounds as they are looked at; what the page tells comes later
    monkeypatch.setattr(training, "alarms_of", lambda *told: next(found))
    made = sh.distill(recipe(tmp_path, made=[INVERSION | {"drop_alarmed": True, "rounds": 3}]), verbose=False)
    saw = read_json(made.folder / "run.json")["saw"]
    assert saw["distilled"]["made"] == saw["distilled_free"]["made"] == 27
    told = read_json(made.folder / "made" / "made.json")["made"][0]["rounds"]
    assert [one["round"] for one in told] == [2, 3]
    assert "inversion, round 3" in (made.folder / "report.html").read_text(encoding="utf-8")
