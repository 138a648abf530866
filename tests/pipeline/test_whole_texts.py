"""Students may read more of a text than their teacher: each way to ask one reads as it was trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.data.views.base import Views
from stillhouse.errors import UsageError
from stillhouse.pipeline.student.reading import WHOLE

TOKENS = 12  # that the teacher reads
HEADS = {"cellar": "barley malt copper still", "harbour": "boat tide rope sail"}
TAILS = {"cellar": "cask oak spirit", "harbour": "anchor gull quay"}
PLAIN = "the a of and in on was with near old some under".split()  # noqa: SIM905
BETWEEN = " ".join(PLAIN * 3)
ONE, OTHER = (f"{' '.join(PLAIN)} {BETWEEN} {tail} {tail}" for tail in TAILS.values())  # alike where the teacher reads


def write_texts(path: Path, rows: int = 300) -> Path:
    """Texts of two topics: words of a topic at the start, where the teacher reads, and others at the end."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("text", "label"))
        for number in range(rows):
            topic = list(HEADS)[number % 2]
            start = [*draw.choice(PLAIN, 4), *draw.choice(HEADS[topic].split(), 4)]
            end = draw.choice(TAILS[topic].split(), 5)
            out.writerow((" ".join([*draw.permutation(start), BETWEEN, *end]), topic))
    return path


def recipe(folder: Path, **over: Any) -> dict[str, Any]:
    table: dict[str, Any] = {
        "data": {"text": str(write_texts(folder / "texts.csv")), "labels": 40, "tokens": TOKENS, "vocabulary": 256},
        "teacher": {
            "name": "static_embedding",
            "labels": "all",
            "settings": {"width": 8},
            "training": {"steps": 60, "batch_size": 32, "lr": 3e-2},
        },
        "student": {"settings": {"width": 8}},
        "training": {"steps": 60, "batch_size": 32, "lr": 3e-2, "seeds": [0, 1], "log_every": 10},
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder / "run")},
    }
    for key, value in over.items():
        table[key] = {**table.get(key, {}), **value}
    return table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return sh.distill(recipe(tmp_path_factory.mktemp("whole")), verbose=False)


def answers(run: Any) -> np.ndarray:
    found: np.ndarray = run.load().predict_proba([ONE, OTHER])
    return found


def test_a_student_that_adds_words_up_reads_the_whole_text_by_default(run: Any) -> None:
    model = run.load()
    assert model.encoder.length > TOKENS
    assert list(model.predict([ONE, OTHER])) == list(TAILS)
    assert run.scores["models"]["distilled"]["measures"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize("arm", ["labels_only", "self_trained", "simple", "simple_distilled", "distilled"])
def test_every_arm_that_is_handed_over_reads_the_end(run: Any, arm: str) -> None:
    assert list(sh.load(run.folder, arm=arm).predict([ONE, OTHER])) == list(TAILS)


def test_its_file_of_answers_and_its_onnx_file_are_those_of_the_end(run: Any, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    pd.DataFrame({"text": [ONE, OTHER]}).to_csv(rows, index=False)
    assert main(["predict", str(run.folder), str(rows), "--out", str(out)]) == 0
    assert pd.read_csv(out)["class"].tolist() == list(TAILS)
    session = runtime.InferenceSession(run.export("onnx"), providers=["CPUExecutionProvider"])
    ids = run.load().encoder.encode([ONE, OTHER])
    (found,) = session.run(["probabilities"], {session.get_inputs()[0].name: ids.numpy()})
    np.testing.assert_allclose(found, answers(run), atol=1e-5)


def test_the_run_says_how_much_each_side_reads(run: Any) -> None:
    read = run.record["data"]["tokens"]
    assert read == {"teacher": TOKENS, "students": run.load().encoder.length}
    assert f"the teacher reads 12, students {read['students']}" in run.report().read_text(encoding="utf-8")


def test_the_accuracy_of_a_loaded_student_is_the_one_that_was_judged(run: Any) -> None:
    frame = pd.read_csv(run.folder.parent / "texts.csv")
    test = np.load(run.folder / "split.npz")["test"]
    right = run.load().predict(frame["text"].iloc[test].tolist()) == frame["label"].iloc[test].to_numpy()
    assert right.mean() == pytest.approx(run.scores["models"]["distilled"]["seeds"]["0"]["accuracy"])


def test_the_full_evaluation_and_the_marked_words_reach_the_end(run: Any) -> None:
    full = run.evaluate(full=True, verbose=False) and json.loads((run.folder / "full.json").read_text())
    clean = {rung["corruption"]: rung["accuracy"] for rung in full["robustness"] if rung["severity"] == 0}
    for accuracy in clean.values():
        assert accuracy["distilled"]["value"] == run.scores["models"]["distilled"]["measures"]["accuracy"]["value"]
    marks, texts = np.load(run.folder / "gallery.npz"), pd.read_csv(run.folder.parent / "texts.csv")["text"]
    ends = {name: marks[f"{name}_spans"].max() for name in ("teacher", "student")}
    assert ends["teacher"] < len(BETWEEN) < ends["student"]
    assert ends["student"] <= texts.str.len().max()


@pytest.mark.slow
def test_a_number_of_tokens_is_kept_to(tmp_path: Path) -> None:
    run = sh.distill(recipe(tmp_path, student={"tokens": TOKENS}, controls={"simple": False}), verbose=False)
    assert run.load().encoder.length == TOKENS
    one, other = answers(run)
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "length"),
    [
        ({"name": "transformer_tiny", "settings": {"width": 8, "layers": 1, "heads": 2, "feedforward": 8}}, TOKENS),
        (
            {"name": "transformer_tiny", "tokens": 60, "settings": {"width": 8, "layers": 1, "heads": 2}},
            60,
        ),
        ({"name": "tfidf_linear"}, None),
        ({"family": "static_embedding", "budget": {"parameters": 3000}}, None),
    ],
    ids=["transformer", "transformer told", "tf-idf", "budget"],
)
def test_other_students_read_what_fits_them(tmp_path: Path, student: dict[str, Any], length: int | None) -> None:
    table = recipe(tmp_path, controls={"simple": False, "self_trained": False}, training={"steps": 10, "seeds": [0]})
    run = sh.distill({**table, "student": student}, verbose=False, accept_teacher=True)
    assert run.load().encoder.length == (length or run.load().encoder.length)
    assert (length is not None) or run.load().encoder.length > TOKENS


@pytest.mark.slow
def test_a_generation_reads_as_the_student_does(tmp_path: Path) -> None:
    over = {"teacher": {"generations": 2}, "controls": {"simple": False}, "training": {"seeds": [0]}}
    run = sh.distill(recipe(tmp_path, **over), verbose=False)
    assert list(run.load().predict([ONE, OTHER])) == list(TAILS)


@pytest.mark.slow
def test_rows_on_disk_give_the_same_student(run: Any, tmp_path: Path) -> None:
    again = sh.distill(recipe(tmp_path, data={"on_disk": True}), verbose=False)
    np.testing.assert_array_equal(answers(again), answers(run))


@pytest.mark.slow
def test_a_plan_times_the_whole_texts(tmp_path: Path) -> None:
    assert sh.plan(recipe(tmp_path))["seconds"]["train students"] > 0


@given(st.integers(5, 40), st.integers(0, 60), st.integers(0, 2**31))
def test_views_of_lost_words_begin_alike_for_every_length(length: int, more: int, seed: int) -> None:
    views = Views("words", 3, 0.3, seed, mask_id=1)
    assert views.any_length
    long = torch.from_numpy(np.random.default_rng(seed).integers(2, 99, (4, length + more)))
    rows, view = torch.arange(4), torch.tensor([1, 2, 0, 1])
    whole, short = views.apply(long, rows, view)[:, :length], views.apply(long[:, :length], rows, view)
    some = (short != 1).sum(1) > 1  # of a text that would lose all its words one stays, whichever it is
    assert torch.equal(whole[some], short[some])


@pytest.mark.slow
def test_views_by_words_go_with_whole_texts_and_other_views_with_equal_lengths(tmp_path: Path) -> None:
    views = {"policy": "words", "count": 2, "strength": 0.1}
    run = sh.distill(recipe(tmp_path, views=views, controls={"simple": False}), verbose=False)
    assert run.load().encoder.length > TOKENS


def own(row: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Another first word."""
    return torch.where(torch.arange(len(row)) == 1, 5 + (row + 1) % 50, row)


@pytest.mark.slow
def test_views_that_depend_on_the_length_are_refused_with_a_cure_that_works(tmp_path: Path) -> None:
    table = recipe(tmp_path, student={"tokens": 40}, controls={"simple": False}, training={"steps": 10, "seeds": [0]})
    with pytest.raises(UsageError, match=r"\[student\] tokens = 40, but the teacher reads 12"):
        sh.distill(table, views=own, verbose=False)
    assert not (tmp_path / "run" / "run.json").exists()
    table["student"]["tokens"] = TOKENS
    sh.distill(table, views=own, verbose=False, accept_teacher=True)
    del table["student"]["tokens"]
    table["output"] = {"dir": str(tmp_path / "default")}
    assert sh.distill(table, views=own, verbose=False, accept_teacher=True).load().encoder.length == TOKENS


def test_tokens_of_rows_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[student\] tokens = 64 is for texts"):
        sh.distill({"data": {"name": "digits"}, "student": {"tokens": 64}}, out=tmp_path / "run", verbose=False)


@pytest.mark.slow
def test_the_whole_text_ends_somewhere(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["word other " * 600, "other thing"] * 60, "label": ["a", "b"] * 60})
    frame["text"] += [f" number{i}" for i in range(120)]
    frame.to_csv(tmp_path / "texts.csv", index=False)
    table = recipe(tmp_path, controls={"simple": False, "self_trained": False}, training={"steps": 5, "seeds": [0]})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    table["data"]["labels"] = "all"
    assert sh.distill(table, verbose=False, accept_teacher=True).load().encoder.length == WHOLE
