"""An efficiency curve is runs that differ in one number, and shares what they have in common."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stillhouse.cli import main
from stillhouse.errors import UsageError
from stillhouse.pipeline import curve
from stillhouse.recipe import StudentSection, read
from tests.pipeline.recipes import write_recipe

SMALL = {"training": {"seeds": [0], "steps": 20}}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("curve")
    recipe = write_recipe(folder, **SMALL)
    assert main(["curve", str(recipe), "--labels", "100,40", "--calls", "200,1000", "--accept-teacher"]) == 0
    assert (folder / "run" / "curve.html").exists()
    return folder / "run"


def test_every_point_is_a_run_and_its_gain_is_that_of_its_scores(drawn: Path) -> None:
    told = json.loads((drawn / "curve.json").read_text())
    assert [p["labels"] for p in told["labels"]] == [40, 100]
    assert [p["calls"] for p in told["calls"]] == [200, 1000]
    for point in (*told["labels"], *told["calls"]):
        scores = json.loads((drawn / point["folder"] / "scores.json").read_text())
        assert point["gain"] == scores["comparisons"][0]["difference"]
        assert (drawn / point["folder"] / "report.html").exists()
        right = []
        with np.load(drawn / point["folder"] / "predictions.npz") as answers:
            right = [(answers[f"{a}/0"].argmax(1) == answers["targets"]).mean() for a in ("distilled", "labels_only")]
        assert point["gain"]["value"] == pytest.approx(right[0] - right[1])


def test_points_see_the_labels_and_the_answers_they_say(drawn: Path) -> None:
    for labels in (40, 100):
        saw = json.loads((drawn / f"labels-{labels}" / "run.json").read_text())["saw"]
        assert saw["distilled"]["labels"] == saw["labels_only"]["labels"] == labels
    views = 2
    for calls in (200, 1000):
        saw = json.loads((drawn / f"calls-{calls}" / "run.json").read_text())["saw"]
        assert (saw["distilled"]["labels"] + saw["distilled"]["unlabelled"]) * views == calls
        assert saw["labels_only"]["labels"] == 60


def test_the_teacher_is_one_and_the_control_of_every_number_of_calls_too(drawn: Path) -> None:
    teachers = {p.read_bytes() for p in drawn.glob("*/teacher/model.safetensors")}
    assert len(list(drawn.glob("*/teacher/model.safetensors"))) == 4
    assert len(teachers) == 1
    controls = [drawn / f"calls-{n}" / "fits/labels_only/0/model.safetensors" for n in (200, 1000)]
    assert controls[0].read_bytes() == controls[1].read_bytes()
    assert "ask teachers" in json.loads((drawn / "calls-1000" / "run.json").read_text())["seconds"]


def test_done_points_are_not_done_again(drawn: Path) -> None:
    weights = drawn / "labels-40" / "fits" / "distilled" / "0" / "model.safetensors"
    stamp = weights.stat().st_mtime_ns
    recipe = read(drawn.parent / "recipe.toml")
    curve(recipe, labels=[40], accept_teacher=True)
    assert weights.stat().st_mtime_ns == stamp
    told = json.loads((drawn / "curve.json").read_text())
    assert [p["labels"] for p in told["labels"]] == [40, 100], "points drawn before stay"


def test_numbers_that_the_data_do_not_allow_are_refused_with_those_that_they_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = read(write_recipe(tmp_path, **SMALL))
    with pytest.raises(UsageError, match=r"give 120 to 2588 calls"):
        curve(recipe, calls=[100])
    with pytest.raises(UsageError, match="--labels 50,100,200"):
        curve(recipe)
    assert main(["curve", str(tmp_path / "recipe.toml"), "--labels", "50;100"]) == 2
    assert "with commas between them" in capsys.readouterr().err


@pytest.mark.slow
def test_a_student_that_keeps_more_layers_is_larger_and_all_of_one_teacher(tmp_path: Path) -> None:
    teacher = {"name": "vit_tiny", "settings": {"layers": 3, "width": 16, "heads": 2, "patch": 2}}
    named = read(write_recipe(tmp_path, **SMALL, teacher=teacher))
    with pytest.raises(UsageError, match=r"remove \[student\] name"):
        curve(named, layers=[1], accept_teacher=True)

    recipe = named.model_copy(update={"student": StudentSection()})
    page = curve(recipe, layers=[3, 1, 2], accept_teacher=True).read_text()
    assert "Gain against layers kept" in page
    assert "Accuracy against speed" in page
    told = json.loads((tmp_path / "run" / "curve.json").read_text())["layers"]
    assert [p["layers"] for p in told] == [1, 2, 3]
    steps = np.diff([p["parameters"] for p in told])
    assert steps[0] == steps[1] > 0, "every layer is of one size"
    assert all(p["bytes"] == 4 * p["parameters"] and p["ms_1"] > 0 for p in told)
    assert told[0]["ms_64"] < told[2]["ms_64"]
    for point in told:
        scores = json.loads((tmp_path / "run" / point["folder"] / "scores.json").read_text())
        assert point["agreement"] == scores["models"]["distilled"]["measures"]["agreement"]
    assert len({p.read_bytes() for p in tmp_path.glob("run/*/teacher/model.safetensors")}) == 1

    with pytest.raises(UsageError, match="layers"):
        curve(recipe, layers=[4], accept_teacher=True)
