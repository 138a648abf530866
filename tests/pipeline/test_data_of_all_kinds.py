"""Whole runs on data of every kind: image folders, JSON lines, groups and time, views; and rows that cannot be used."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stillhouse.cli import main
from stillhouse.pipeline import Run, distill
from stillhouse.recipe import Recipe, parse

WORDS = ("copper", "barley", "cask", "water", "yeast", "spirit")


pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # many whole runs


def recipe_of(folder: Path, data: dict[str, Any], **over: Any) -> Recipe:
    table: dict[str, Any] = {
        "data": data,
        "teacher": {"name": "mlp_large", "settings": {"hidden": [16]}, "training": {"steps": 20, "batch_size": 16}},
        "student": {"name": "mlp_tiny", "settings": {"hidden": [8]}},
        "training": {"steps": 40, "batch_size": 16, "seeds": [0], "workers": 1},
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 100},
        "output": {"dir": str(folder / "run")},
    }
    return parse(table | over)


def split_of(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.folder / "split.npz") as file:
        return {part: file[part] for part in ("train", "valid", "test")}


def write_patients(folder: Path) -> list[dict[str, Any]]:
    """Four visits of each of 50 patients, a line each."""
    draw = np.random.default_rng(0)
    rows = []
    for patient in range(50):
        ill = patient % 2
        for visit in range(4):
            dose = float(draw.normal(ill * 2, 1))
            row = {
                "patient": f"p{patient}",
                "day": visit * 50 + patient,
                "dose": dose,
                "site": str(draw.choice(["n", "s"])),
            }
            rows.append(row | {"label": "ill" if ill else "well"})
    (folder / "visits.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def test_no_patient_of_a_jsonl_table_stands_on_two_sides_and_munge_makes_more_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = write_patients(tmp_path)
    data = {"path": str(tmp_path / "visits.jsonl"), "target": "label", "group": "patient", "labels": 40, "valid": 0.2}
    run = distill(
        recipe_of(tmp_path, data, views={"policy": "munge", "count": 2, "strength": 1.0}), accept_teacher=True
    )
    sides = [{rows[row]["patient"] for row in part} for part in split_of(run).values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 50
    (tmp_path / "new.csv").write_text("day,site\n3,n\n")
    assert main(["predict", str(run.folder), str(tmp_path / "new.csv"), "--out", str(tmp_path / "out.csv")]) == 4
    assert "dose" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_the_latest_rows_of_a_table_are_the_test(tmp_path: Path) -> None:
    rows = write_patients(tmp_path)
    data = {
        "path": str(tmp_path / "visits.jsonl"),
        "target": "label",
        "order": "day",
        "drop": ["patient"],
        "valid": 0.2,
    }
    run = distill(recipe_of(tmp_path, data), accept_teacher=True)
    train, valid, test = ([rows[row]["day"] for row in part] for part in split_of(run).values())
    assert max(train) < min(valid) <= max(valid) < min(test)


def test_a_folder_of_images_with_a_pool_is_cut_out_of_and_read(tmp_path: Path) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    for name, count in (("dark", 40), ("bright", 40), ("unlabelled", 20)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(count):
            bright = 80 + 90 * (name == "bright" or (name == "unlabelled" and number % 2))
            pixels = np.clip(draw.normal(bright, 20, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    data = {"images": str(tmp_path / "images"), "labels": 20, "valid": 0.2}
    run = distill(recipe_of(tmp_path, data, views={"policy": "cutout", "count": 2}), accept_teacher=True)
    record = json.loads((run.folder / "run.json").read_text())
    assert record["data"]["classes"] == ["bright", "dark"]
    assert record["data"]["unlabelled"] == record["data"]["train"] - 20
    assert sum(record["data"][part] for part in ("train", "valid", "test")) == 100

    names = sorted(path.relative_to(tmp_path / "images").as_posix() for path in (tmp_path / "images").rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(tmp_path / "images" / name)) for name in names])
    assert main(["predict", str(run.folder), str(tmp_path / "images"), "-o", str(tmp_path / "answers.csv")]) == 0
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert answers["file"].tolist() == names
    np.testing.assert_allclose(answers[["p_bright", "p_dark"]], run.load().predict_proba(pixels), atol=1e-6)
    Image.fromarray(np.full((16, 16, 3), (250, 240, 230), np.uint8)).save(tmp_path / "large.png")
    assert main(["predict", str(run.folder), str(tmp_path / "large.png"), "-o", str(tmp_path / "one.csv")]) == 0
    assert pd.read_csv(tmp_path / "one.csv")["file"].tolist() == ["large.png"]
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    assert main(["predict", str(run.folder), str(tmp_path / "images"), "-o", str(tmp_path / "none.csv")]) == 4
    assert not (tmp_path / "none.csv").exists()


def test_shapes_in_the_alpha_channel_and_pictures_of_16_bits_are_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    draw = np.random.default_rng(0)
    for number in range(120):
        wide = np.zeros((8, 8), bool)
        wide[draw.integers(1, 7), 1:7] = True
        shape = wide if number % 2 else wide.T
        path = tmp_path / "images" / ("wide" if number % 2 else "tall") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        alpha = np.stack([0 * shape, 0 * shape, 0 * shape, 255 * shape], 2).astype(np.uint8)  # black all over
        deep = np.where(shape, 1000, 1200).astype(np.uint16)
        Image.fromarray(alpha if number < 60 else deep).save(path)
    data = {"images": str(tmp_path / "images"), "labels": "all", "valid": 0.2}
    training = {"steps": 150, "batch_size": 16, "seeds": [0], "workers": 1}
    run = distill(recipe_of(tmp_path, data, training=training), accept_teacher=True)
    assert run.scores["models"]["labels_only"]["measures"]["accuracy"]["value"] > 0.9
    told = capsys.readouterr().err
    assert "transparent pixels of 60 images are laid over white" in told
    assert "60 images have more than 8 bits a pixel: the range that they use, 1000 to 1200," in told
    assert main(["predict", str(run.folder), str(tmp_path / "images")]) == 0
    answers = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert (answers["file"].str.split("/").str[0] == answers["class"]).mean() > 0.9


def test_texts_lose_words_and_the_column_of_the_text_is_known_at_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = np.random.default_rng(0)
    lines = ["note,comment,label"]
    for number in range(80):
        words = [*draw.choice(WORDS, 5), "fine" if number % 2 else "poor"]
        lines.append(
            f"a much longer note that is no input {number},{' '.join(words)},{'good' if number % 2 else 'bad'}"
        )
    (tmp_path / "texts.csv").write_text("\n".join(lines) + "\n")
    data = {"text": str(tmp_path / "texts.csv"), "column": "comment", "labels": 30, "valid": 0.2, "tokens": 12}
    text: dict[str, Any] = {
        "student": {"name": "static_embedding"},
        "teacher": {"name": "bag_hashed", "training": {"steps": 20, "batch_size": 16}},
    }
    views = {"policy": "words", "count": 2, "strength": 0.2}
    run = distill(recipe_of(tmp_path, data, views=views, **text), accept_teacher=True)
    (tmp_path / "new.csv").write_text("note,comment\na very very long note about nothing,fine water\n")
    out = tmp_path / "out.csv"
    assert main(["predict", str(run.folder), str(tmp_path / "new.csv"), "--out", str(out)]) == 0
    assert out.read_text().splitlines()[0] == "class,p_bad,p_good"
    (tmp_path / "wrong.csv").write_text("note\na very very long note about nothing\n")
    assert main(["predict", str(run.folder), str(tmp_path / "wrong.csv"), "--out", str(out)]) == 4
    assert "comment" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "teacher", "words"),
    [
        ({"name": "digits"}, {"hub": "folder", "file": "x.onnx"}, "hub and file at once"),
        ({"name": "digits", "group": "patient"}, {"name": "mlp_large"}, "group, order and weight"),
        ({"name": "digits"}, {"endpoint": {"url": "http://127.0.0.1:9/v1"}}, "classifies texts"),
        ({"name": "digits"}, {"file": "nowhere.safetensors", "name": "mlp_large"}, "does not exist"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: dict[str, Any], teacher: dict[str, Any], words: str
) -> None:
    (tmp_path / "r.toml").write_text(recipe_of(tmp_path, data, teacher=teacher).toml())
    assert main(["distill", str(tmp_path / "r.toml")]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("key", ["teacher.file", "student.start"])
def test_weights_that_are_cut_short_are_refused_by_the_key_that_names_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    (tmp_path / "cut.safetensors").write_bytes((64).to_bytes(8, "little") + b"{}")
    (tmp_path / "r.toml").write_text(recipe_of(tmp_path, {"name": "digits"}, teacher={"name": "mlp_large"}).toml())
    assert main(["distill", str(tmp_path / "r.toml"), f"--{key}", str(tmp_path / "cut.safetensors")]) == 4
    section, name = key.split(".")
    told = capsys.readouterr().err
    assert f"[{section}] {name} = " in told
    assert "not a complete safetensors file" in told


def test_the_types_found_in_a_table_are_shown_by_a_plan_and_kept_by_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{20 + i % 50},{'abc'[i % 3]},{1000 + i % 7},{'yes' if i % 50 > 25 else 'no'}" for i in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["age,city,zip,left", *lines]))
    data = {"path": str(tmp_path / "t.csv"), "target": "left", "types": {"zip": "categorical"}}
    (tmp_path / "r.toml").write_text(recipe_of(tmp_path, data).toml())
    assert main(["plan", str(tmp_path / "r.toml")]) == 0
    shown = capsys.readouterr().out
    assert "columns: city (categorical, 3 values), zip (categorical, 7 values); numeric: age." in shown
    run = distill(recipe_of(tmp_path, data), accept_teacher=True)
    types = {"age": "numeric", "city": "categorical, 3 values", "zip": "categorical, 7 values"}
    assert run.record["data"]["columns"] == types
    assert "columns · zip" in run.report_path.read_text()
