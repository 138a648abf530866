"""Whole runs with teachers of every kind: services, fitted models, functions, files, several at once, hub models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from numpy.typing import NDArray

from stillhouse.cli import main
from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill, load, plan
from stillhouse.recipe import Recipe, parse, read
from stillhouse.store import Store
from tests.teachers.hub_folders import bert
from tests.teachers.misbehaving_server import Act, Server, answer, scored, status

CLASSES = ("bad", "good")
SURE = {"good": scored("B", {"A": -3.0, "B": -0.05}), "bad": scored("A", {"A": -0.05, "B": -3.0})}
WORDS = ("copper", "barley", "cask", "water", "yeast", "spirit", "still", "malt", "oak", "smoke")
QUICK: dict[str, Any] = {"steps": 40, "batch_size": 16, "seeds": [0, 1], "workers": 1}


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # many whole runs


def texts_of(count: int = 90) -> list[tuple[str, str]]:
    """Different texts with their class, which one word tells."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(count):
        label = CLASSES[number % 2]
        words = [*draw.choice(WORDS, 4), f"number{number}", "pleasant" if label == "good" else "awful"]
        rows.append((" ".join(draw.permutation(words)), label))
    return rows


def write_texts(folder: Path, rows: list[tuple[str, str]]) -> Path:
    lines = ["text,label", *(f"{text},{label}" for text, label in rows)]
    (folder / "texts.csv").write_text("\n".join(lines) + "\n")
    return folder / "texts.csv"


def service_recipe(folder: Path, url: str, **endpoint: Any) -> Path:
    table = {
        "data": {"text": "texts.csv", "labels": 30, "valid": 0.2, "test": 0.25, "tokens": 12, "vocabulary": 200},
        "teacher": {"endpoint": {"url": url, "model": "m", "api_key_env": "", **endpoint}},
        "student": {"name": "static_embedding"},
        "training": QUICK,
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder / "run")},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(table))
    return folder / "recipe.toml"


def plan_of(rows: list[tuple[str, str]], odd: dict[int, Act]) -> dict[str, list[Act]]:
    """What the server does for each text: the truth, but for a few."""
    return {text: [odd.get(number, SURE[label])] for number, (text, label) in enumerate(rows)}


@pytest.mark.enable_socket
def test_rows_that_a_service_does_not_answer_are_in_no_part_and_nothing_is_paid_twice(tmp_path: Path) -> None:
    rows = texts_of()
    odd = {3: answer(None, refusal="I cannot judge this."), 40: answer("perhaps"), 77: status(400, "too long")}
    write_texts(tmp_path, rows)
    with Server(plan=plan_of(rows, odd)) as server:
        recipe = service_recipe(tmp_path, server.url, price_in=1.0, price_out=2.0, samples=2)
        assert main(["plan", str(recipe)]) == 0
        assert not server.bodies, "a plan asks nothing"
        assert main(["distill", str(recipe), "--accept-teacher"]) == 0
        paid = dict(server.asked)
        assert main(["distill", str(recipe), "--accept-teacher"]) == 0
        assert main(["evaluate", str(tmp_path / "run"), "--full"]) == 0
        assert dict(server.asked) == paid
    assert paid == {text: 1 for text, _ in rows}
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    told = record["service"]
    assert (told["refused"], told["malformed"], told["rejected"]) == (1, 1, 1)
    assert (told["texts"], told["scored"]) == (90, 87)
    assert sum(told["left_out"].values()) == 3
    assert told["cost"] == pytest.approx((told["tokens_in"] + 2 * told["tokens_out"]) / 1e6)
    with np.load(tmp_path / "run" / "split.npz") as split:
        kept = {int(row) for part in ("train", "valid", "test") for row in split[part]}
    assert kept == set(range(90)) - set(odd)
    assert Store.open(tmp_path / "run" / "store").rows == record["data"]["train"]
    costs = json.loads((tmp_path / "run" / "costs.json").read_text())
    assert costs["teacher"] == {"parameters": None}
    assert "paid" in json.loads((tmp_path / "run" / "full.json").read_text())["why"]


@pytest.mark.enable_socket
def test_a_ceiling_and_an_outage_stop_resumably_and_the_same_command_pays_only_for_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = texts_of(60)
    write_texts(tmp_path, rows)
    with Server(plan=plan_of(rows, {})) as server:
        ceiling = service_recipe(tmp_path, server.url, max_calls=20)
        assert main(["label", str(ceiling)]) == 75
        assert "max_calls" in capsys.readouterr().err
        assert sum(server.asked.values()) == 20
        assert main(["label", str(ceiling)]) == 75
        assert sum(server.asked.values()) == 20
    with Server(plan=plan_of(rows, {30: status(401)})) as server:
        (tmp_path / "other").mkdir()
        write_texts(tmp_path / "other", rows)
        recipe = service_recipe(tmp_path / "other", server.url, concurrency=1)
        assert main(["label", str(recipe)]) == 4
        paid = sum(server.asked.values()) - server.asked[rows[30][0]]
        server.plan[rows[30][0]] = [SURE[rows[30][1]]]
        assert main(["label", str(recipe)]) == 0
        assert sum(server.asked.values()) == 61
        assert 0 < paid < 60


@pytest.mark.enable_socket
def test_services_among_several_teachers_are_asked_about_all_texts_at_once(tmp_path: Path) -> None:
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher

    rows = texts_of(60)
    write_texts(tmp_path, rows)
    odd = {5: answer(None, refusal="I cannot judge this.")}
    with Server(plan=plan_of(rows, odd)) as first, Server(plan=plan_of(rows, {9: answer("perhaps")})) as second:
        services = [
            EndpointTeacher(server.url, "m", CLASSES, journal=tmp_path / "answers.jsonl", api_key_env=None, samples=2)
            for server in (first, second)
        ]
        recipe = read(service_recipe(tmp_path, first.url))
        recipe = recipe.model_copy(update={"teacher": parse({}).teacher})
        run = distill(recipe, teacher=services, accept_teacher=True)
    for server in (first, second):
        assert dict(server.asked) == {text: 1 for text, _ in rows}
    told = run.record["service"]
    assert (told["texts"], told["calls"], told["refused"], told["malformed"]) == (60, 120, 1, 1)
    assert sum(told["left_out"].values()) == 2
    with np.load(run.folder / "split.npz") as split:
        kept = {int(row) for part in ("train", "valid", "test") for row in split[part]}
    assert kept == set(range(60)) - {5, 9}
    assert json.loads((run.folder / "costs.json").read_text())["teacher"] == {"parameters": None}


def test_an_ensemble_of_services_is_told_of_its_texts_too(tmp_path: Path) -> None:
    from stillhouse.pipeline.teacher.endpoint import given_services
    from stillhouse.teachers import EnsembleTeacher
    from stillhouse.teachers.endpoint.teacher import EndpointTeacher
    from tests.teachers.tasks import CLASSIFICATION

    one = EndpointTeacher("http://127.0.0.1:9/v1", "m", CLASSES, journal=tmp_path / "answers.jsonl", api_key_env=None)
    net = torch.nn.Linear(3, 2)
    assert given_services(EnsembleTeacher([one], CLASSIFICATION)) == [one]
    assert given_services([net, one]) == [one]
    assert given_services(net) == []


def write_table(folder: Path) -> Path:
    """200 patients whose class hangs on three columns, one of them a category."""
    draw = np.random.default_rng(0)
    age, dose = draw.normal(50, 10, 200), draw.exponential(2.0, 200)
    site = draw.choice(["north", "south", "east"], 200)
    ill = (age - 50) / 10 + dose - 2 + (site == "north") + draw.normal(0, 0.3, 200) > 0
    rows = zip(age, dose, site, np.where(ill, "ill", "well"), strict=True)
    (folder / "patients.csv").write_text("age,dose,site,label\n" + "".join(f"{a},{d},{s},{c}\n" for a, d, s, c in rows))
    return folder / "patients.csv"


def table_recipe(folder: Path, **over: Any) -> Recipe:
    table = {
        "data": {"path": str(write_table(folder)), "target": "label", "labels": 40, "valid": 0.2},
        "student": {"name": "mlp_tiny", "settings": {"hidden": [8]}},
        "training": QUICK | {"seeds": [0]},
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 100},
        "output": {"dir": str(folder / "run")},
    }
    return parse(table | over)


def frame_of(folder: Path) -> tuple[Any, Any]:
    import pandas as pd

    frame = pd.read_csv(write_table(folder))
    return frame.drop(columns="label"), frame["label"]


def said(run: Run) -> NDArray[np.float64]:
    """The teacher's probabilities of the second class, for the test rows."""
    with np.load(run.folder / "predictions.npz") as file:
        shares: NDArray[np.float64] = np.exp(file["teacher/-"][:, 1].astype(np.float64))
        return shares


def test_rows(run: Run) -> NDArray[np.int64]:
    with np.load(run.folder / "split.npz") as file:
        rows: NDArray[np.int64] = file["test"]
        return rows


test_rows.__test__ = False  # type: ignore[attr-defined]


def test_a_fitted_pipeline_reads_the_raw_columns_by_name_and_joins_with_a_function(tmp_path: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, labels = frame_of(tmp_path)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["site"]), (StandardScaler(), ["dose", "age"])
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame[["site", "dose", "age"]], labels)

    def by_dose(rows: Any) -> NDArray[np.float64]:
        well = 1 / (1 + np.exp(rows["dose"].to_numpy() - 2))
        return np.stack([1 - well, well], axis=1)

    run = distill(table_recipe(tmp_path), teacher=[pipeline, by_dose], accept_teacher=True)
    shown = frame.iloc[test_rows(run)]
    mean = (pipeline.predict_proba(shown)[:, 1] + by_dose(shown)[:, 1]) / 2
    np.testing.assert_allclose(said(run), mean, atol=1e-5)
    assert load(run.folder).predict_proba(shown).shape == (len(shown), 2)
    with pytest.raises(UsageError, match="another recipe"):
        distill(table_recipe(tmp_path), teacher=pipeline, accept_teacher=True)


def test_a_lightgbm_file_in_a_recipe_teaches_and_is_planned(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    frame, labels = frame_of(tmp_path)
    numbers = frame[["age", "dose"]]
    fitted = lightgbm.LGBMClassifier(n_estimators=5, num_leaves=4, n_jobs=1, verbose=-1)
    fitted.fit(numbers, (labels == "well").astype(int))
    fitted.booster_.save_model(str(tmp_path / "model.txt"))
    recipe = table_recipe(tmp_path, teacher={"file": str(tmp_path / "model.txt")})
    assert plan(recipe)["teachers"][0]["ready"]
    run = distill(recipe, accept_teacher=True)
    shown = numbers.iloc[test_rows(run)]
    np.testing.assert_allclose(said(run), fitted.predict_proba(shown)[:, 1], atol=1e-5)


def test_an_onnx_file_in_a_recipe_teaches_on_the_rows_as_they_were_read(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    draw = np.random.default_rng(0)
    x = draw.normal(size=(160, 4)).astype(np.float32) * 3 + 1
    np.savez(tmp_path / "x.npz", x=x, y=(x[:, 0] > 1).astype(int))
    net = torch.nn.Linear(4, 2)
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(net, (torch.zeros(2, 4),), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    program.save(str(tmp_path / "net.onnx"))
    over = {"data": {"arrays": str(tmp_path / "x.npz"), "labels": 20}, "teacher": {"file": str(tmp_path / "net.onnx")}}
    run = distill(table_recipe(tmp_path, **over), accept_teacher=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    logits = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x[test_rows(run)]})[0])
    np.testing.assert_allclose(said(run), logits.softmax(-1)[:, 1], atol=1e-5)


def test_two_members_that_are_trained_here_answer_as_their_mean_and_are_planned(tmp_path: Path) -> None:
    member = {"name": "mlp_large", "settings": {"hidden": [8]}, "training": {"steps": 20, "batch_size": 16}}
    members = [member, member | {"settings": {"hidden": [4]}}]
    recipe = table_recipe(tmp_path, teacher={"labels": "all", "member": members})
    assert plan(recipe)["teacher_fits"] == 2
    run = distill(recipe, accept_teacher=True)
    assert plan(recipe)["teacher_fits"] == 0
    assert {path.parent.name for path in (run.folder / "teacher").glob("*/model.safetensors")} == {"0", "1"}
    assert "feature:disagreement" in {field.name for field in Store.open(run.folder / "store").fields}


@pytest.mark.parametrize("tune", ["probe", "full", "lora"])
def test_a_hub_encoder_is_tuned_here_and_a_layer_of_it_is_the_student(tmp_path: Path, tune: str) -> None:
    rows = texts_of(80)
    write_texts(tmp_path, rows)
    folder = bert(tmp_path / "bert")
    table = {
        "data": {"text": str(tmp_path / "texts.csv"), "labels": 30, "valid": 0.2, "tokens": 16},
        "teacher": {"hub": str(folder), "tune": tune, "training": {"steps": 20, "batch_size": 16}},
        "student": {"derive": {"layers": 1}} if tune == "full" else {"name": "static_embedding"},
        "training": QUICK | {"seeds": [0], "steps": 10},
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 100},
        "output": {"dir": str(tmp_path / "run")},
    }
    recipe = parse(table)
    assert plan(recipe)["teacher_fits"] == 1
    run = distill(recipe, accept_teacher=True)
    (tmp_path / "new.csv").write_text("other,text\nx,pleasant water of the cask\n")
    assert main(["predict", str(run.folder), str(tmp_path / "new.csv"), "--out", str(tmp_path / "out.csv")]) == 0
    assert (tmp_path / "out.csv").read_text().startswith("class,p_bad,p_good")
