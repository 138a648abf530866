"""What a user without a teacher would do stands in every run: self-training, and a simple model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, make_multilabel_classification
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

import stillhouse as sh
from stillhouse.errors import UsageError

ROWS, LABELLED = 300, 60
STUDENT: dict[str, Any] = {"name": "mlp_tiny", "settings": {"hidden": [8]}}


def cancer(labelled: int = LABELLED) -> tuple[Any, Any]:
    """Training rows of which some have a label, validation and test rows, and a teacher that saw the labelled ones."""
    frame, target = load_breast_cancer(return_X_y=True, as_frame=True)
    order = np.random.default_rng(0).permutation(len(frame))
    frame, target = frame.iloc[order].reset_index(drop=True), target.iloc[order].reset_index(drop=True)
    seen = target[:ROWS].astype(object)
    seen[labelled:] = None
    teacher = RandomForestClassifier(30, random_state=0).fit(frame[:ROWS], target[:ROWS])
    parts = (frame[:ROWS], seen), (frame[ROWS:380], target[ROWS:380]), (frame[380:], target[380:])
    return teacher, parts


def distil(out: Path, teacher: Any, data: Any, recipe: dict[str, Any] | None = None, **over: Any) -> Any:
    tables = {"student": STUDENT, "evaluation": {"resamples": 200}, **(recipe or {})}
    options = {"steps": 30, "seeds": [0, 1], "verbose": False, "accept_teacher": True, **over}
    return sh.distill(tables, teacher=teacher, data=data, out=out, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return distil(tmp_path_factory.mktemp("rivals") / "run", *cancer())


def test_they_see_the_labels_and_only_the_self_trained_student_the_other_rows(run: Any) -> None:
    saw = run.scores["saw"]
    assert [saw["self_trained"][key] for key in ("labels", "unlabelled", "teacher")] == [LABELLED, 240, None]
    assert [saw["simple"][key] for key in ("labels", "unlabelled", "teacher")] == [LABELLED, 0, None]
    assert saw["simple_distilled"]["teacher"] == "teacher"
    assert saw["simple"]["model"]


def test_the_verdict_is_the_worst_on_any_rival_and_each_has_its_own_level(run: Any) -> None:
    rivals = {c["b"]: c for c in run.scores["comparisons"] if c["headline"]}
    order = ["better", "non_inferior", "inconclusive", "worse"]
    assert set(rivals) == {"labels_only", "self_trained", "simple"}
    assert run.verdict == max((c["verdict"] for c in rivals.values()), key=order.index)
    assert all(c["p_holm"] == c["p"] for c in rivals.values())
    assert all(run.scores["saw"]["simple"]["model"] in text for text in (run.scores["sentence"], run.summary()))


def test_a_simple_model_says_what_it_costs(run: Any) -> None:
    costs = run.scores["costs"]["simple"]
    assert min(costs[key] for key in ("bytes", "ms_1", "seconds_of_fit", "parameters")) > 0
    assert run.scores["models"]["simple"]["ms_1"] == costs["ms_1"]


@pytest.mark.parametrize("arm", ["self_trained", "simple", "simple_distilled"])
def test_each_can_be_handed_over(run: Any, arm: str) -> None:
    frame, target = cancer()[1][2]
    model = sh.load(run.folder, arm=arm)
    accuracy = float((model.predict(frame) == target).mean())
    of_seed = run.scores["models"][arm]["seeds"]
    assert accuracy == pytest.approx(of_seed.get("-", of_seed.get("0"))["accuracy"])
    assert (sh.predict(run, frame, arm=arm) == model.predict(frame)).all()
    exported = sh.export(run, "onnx", arm=arm)
    assert exported.stem == arm


def test_another_arm_is_refused_with_the_names_of_those_there_are(run: Any) -> None:
    with pytest.raises(UsageError, match=r"'simpel'.*Did you mean 'simple'"):
        sh.load(run, arm="simpel")
    with pytest.raises(UsageError) as caught:
        sh.load(run, arm="nothing")
    assert {name: str(caught.value).count(f" {name}") for name in ("distilled", "labels_only", "self_trained")} == {
        "distilled": 1,
        "labels_only": 1,
        "self_trained": 1,
    }


@pytest.mark.slow
def test_self_training_done_again_ends_with_the_same_weights(run: Any) -> None:
    folder = run.folder / "fits" / "self_trained" / "1"
    whole = (folder / "model.safetensors").read_bytes()
    facts = json.loads((folder / "rounds.json").read_text())["rounds"]
    assert len(facts) == 2
    assert all(0 < fact["accepted"] <= 240 for fact in facts)
    for file in (folder / "model.safetensors", run.folder / "costs.json"):
        file.unlink()
    again = distil(run.folder, *cancer())
    assert (folder / "model.safetensors").read_bytes() == whole
    assert again.scores["models"] == run.scores["models"] or again.verdict == run.verdict


def test_the_steps_of_its_rounds_count_on_in_the_metrics(run: Any) -> None:
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if (line["arm"], line["seed"]) == ("self_trained", 0)]
    assert steps == [10, 20, 30], "each of three rounds of ten steps logs its last"


def test_without_a_pool_or_labels_an_arm_is_left_out_by_name(tmp_path: Path) -> None:
    teacher, parts = cancer(ROWS)
    found = distil(tmp_path / "all", teacher, parts, seeds=[0])
    assert "self_trained" not in found.scores["models"]
    assert "training rows without a label" in found.record["left_out"]["self_trained"]
    assert "Not compared: self_trained" in found.scores["sentence"]


@pytest.mark.slow
def test_without_validation_rows_a_simple_model_is_chosen_by_all_labelled_rows_together(tmp_path: Path) -> None:
    teacher, (train, _, test) = cancer(10)  # one row in five, and not every fifth part has a row of the class
    measure = {"evaluation": {"resamples": 200, "measure": "sensitivity:0@0.9"}}
    found = distil(tmp_path / "few", teacher, (train, None, test), measure, seeds=[0])
    tried = json.loads((found.folder / "fits" / "simple" / "0" / "simple.json").read_text())["tried"]
    assert {len(figures) for figures in tried.values()} == {3}, "each has the measure of the verdict and the gate's two"
    assert list(tried.values()) == sorted(tried.values(), reverse=True)
    assert {c["b"] for c in found.scores["comparisons"] if c["headline"]} == {"labels_only", "self_trained", "simple"}


def test_they_can_be_switched_off_and_the_sentence_says_so(tmp_path: Path) -> None:
    off = {"controls": {"self_trained": False, "simple": False}}
    found = distil(tmp_path / "off", *cancer(), off, seeds=[0])
    assert not {"self_trained", "simple", "simple_distilled"} & set(found.scores["models"])
    assert "Not compared: self_trained, simple" in found.scores["sentence"]


def test_a_gate_may_ask_for_a_gain_over_a_rival(run: Any) -> None:
    found = {c["b"]: c["difference"] for c in run.scores["comparisons"]}["simple"]
    (alone,) = sh.check(run, {"min_gain_over": "simple"})
    (both,) = sh.check(run, {"min_gain_over": "simple", "min_gain": -1.0})
    assert (alone.value, alone.low) == (found["value"], found["low"])
    assert (alone.passed, both.passed, both.limit) == (found["low"] >= 0, True, -1.0)
    with pytest.raises(UsageError, match="Did you mean 'simple'"):
        sh.check(run, {"min_gain_over": "simpel"})


@pytest.mark.slow
def test_a_tree_is_self_trained_too(tmp_path: Path) -> None:
    tree = {"student": {"name": "decision_tree"}, "controls": {"simple": False}}
    found = distil(tmp_path / "tree", *cancer(), tree, seeds=[0])
    facts = json.loads((found.folder / "fits" / "self_trained" / "0" / "rounds.json").read_text())["rounds"]
    assert len(facts) == 2
    assert found.scores["models"]["self_trained"]["measures"]["accuracy"]["value"] > 0.8
    said = {arm: found.scores["models"][arm]["parameters"] for arm in ("labels_only", "self_trained", "distilled")}
    assert said == {arm: sh.load(found.folder, arm=arm).net.size for arm in said}
    assert said["labels_only"] < said["distilled"], "few labels need few nodes, and each tree has its own"


@pytest.mark.slow
def test_values_and_labels_have_the_same_rivals(tmp_path: Path) -> None:
    x, y = load_diabetes(return_X_y=True)
    seen = y[:300].copy()
    seen[80:] = np.nan
    forest = RandomForestRegressor(20, random_state=0).fit(x[:300], y[:300])
    values = distil(
        tmp_path / "values", forest, ((x[:300], seen), (x[300:360], y[300:360]), (x[360:], y[360:])), task="regression"
    )
    x, y = make_multilabel_classification(400, 8, n_classes=3, random_state=0)
    forest = RandomForestClassifier(20, random_state=0).fit(x[:240], y[:240])
    names = ["a", "b", "c"]
    marks = pd.DataFrame(y, columns=names).astype(float)
    marks.iloc[60:240] = np.nan
    labels = distil(
        tmp_path / "labels",
        forest,
        ((x[:240], marks[:240]), (x[240:300], marks[240:300]), (x[300:], marks[300:])),
        {"data": {"classes": names}},
        task="multilabel",
    )
    for found in (values, labels):
        assert {"labels_only", "self_trained", "simple", "simple_distilled"} <= set(found.scores["models"])
        assert {c["b"] for c in found.scores["comparisons"] if c["headline"]} == {
            "labels_only", "self_trained", "simple"
        }  # fmt: skip
