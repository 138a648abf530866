"""Every verb knows a folder of embedders, and what has no meaning there says so in one sentence."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray

import stillhouse
from stillhouse.data import TextEncoder
from stillhouse.errors import RejectedError, UsageError
from stillhouse.evaluation import Predictions
from stillhouse.pipeline import Run, predict

pytestmark = pytest.mark.slow  # many whole runs

SCORES, VECTORS = "scores.json", "predictions.npz"


@pytest.fixture(scope="module")
def folder(embedding_world: Path) -> Path:
    """A small encoder and 90 texts of three kinds."""
    return embedding_world


@pytest.fixture(scope="module")
def run(static_embedder: Run) -> Run:
    """A run whose student is a word table."""
    return static_embedder


@pytest.fixture(scope="module")
def derived(derived_embedder: Run) -> Run:
    """A run whose student is cut out of its teacher."""
    return derived_embedder


def shell(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    command = [sys.executable, "-m", "stillhouse", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def copied(run: Run, to: Path, *without: str) -> Path:
    """The run folder elsewhere, without its store and fits and what else is named."""
    shutil.copytree(run.folder, to, ignore=shutil.ignore_patterns("store", "fits", ".lock", *without))
    return to


def held_out(run: Run, folder: Path) -> tuple[NDArray[np.object_], NDArray[np.float32]]:
    """The held-out texts and what the shipped student made of them when it was judged."""
    with (folder / "texts.csv").open(encoding="utf-8", newline="") as file:
        texts = np.array([row["text"] for row in csv.DictReader(file)], object)
    judged = Predictions.load(run.folder / VECTORS)
    return texts[judged.rows], judged.outputs("distilled")["0"]


def test_report_and_evaluate_need_neither_nets_nor_texts(run: Run, tmp_path: Path) -> None:
    place = copied(run, tmp_path / run.folder.name, "report.html", "student", SCORES)
    told = stillhouse.evaluate(place)
    assert told == run.scores
    assert stillhouse.report(place).read_text() == run.report_path.read_text()


def test_the_run_knows_its_judgement_and_its_student(run: Run) -> None:
    assert run.task.name == "embedding"
    assert run.scores == json.loads((run.folder / SCORES).read_text())
    assert run.scores["verdict"] in repr(run)
    assert run.load().width == run.scores["models"]["teacher"]["width"]
    assert stillhouse.load(run.folder / "student").column == "text"


def test_a_full_judgement_is_refused_with_the_command_that_is_meant(run: Run) -> None:
    done = shell("evaluate", run.folder, "--full")
    assert (done.returncode, f"`stillhouse evaluate {run.folder}`" in done.stderr) == (2, True)


@pytest.mark.parametrize(("which", "arm"), [("run", None), ("derived", None), ("run", "simple")])
def test_the_graph_and_its_tokenizer_give_the_vectors_of_the_student_and_of_an_arm(
    which: str, arm: str | None, folder: Path, request: pytest.FixtureRequest
) -> None:
    onnxruntime, tokenizers = pytest.importorskip("onnxruntime"), pytest.importorskip("tokenizers")
    done: Run = request.getfixturevalue(which)
    before = stillhouse.export(str(done.folder)).with_name("tokenizer.json").read_bytes()
    file = stillhouse.export(str(done.folder), arm=arm)
    assert file.with_name("tokenizer.json").read_bytes() == before, "an arm's tokenizer may be another"
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    made = tokenizers.Tokenizer.from_file(str(file.with_name(f"{arm}-tokenizer.json" if arm else "tokenizer.json")))
    texts, judged = held_out(done, folder)
    for some in (texts, texts[:1], np.array(["glass"], object)):
        ids = np.array([encoding.ids for encoding in made.encode_batch(some.tolist())], np.int64)
        (found,) = session.run(["vectors"], {"inputs": ids})
        np.testing.assert_allclose(found, done.load(arm=arm).embed(some), atol=1e-5)
    assert ids.shape[1] < 20, "a short text is not padded to the length of the run"
    if arm is None:
        np.testing.assert_allclose(done.load().embed(texts), judged, atol=1e-6)


def test_weights_are_exported_under_the_nets_own_names(run: Run) -> None:
    from safetensors.torch import load_file

    file = stillhouse.export(run.folder, "safetensors")
    assert set(load_file(file)) == set(run.load().net.state_dict())
    assert file.with_name("tokenizer.json").is_file()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet"])
def test_vectors_of_new_texts_stand_in_their_order(run: Run, folder: Path, tmp_path: Path, suffix: str) -> None:
    texts, judged = held_out(run, folder)
    with (tmp_path / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("number", "text"), *enumerate(texts)])
    out = tmp_path / f"vectors{suffix}"
    done = shell("predict", run.folder, tmp_path / "rows.csv", "--out", out, "--json")
    assert json.loads(done.stdout) == {"rows": len(texts), "out": str(out)}, done.stderr
    if suffix == ".parquet":
        from pyarrow import parquet

        found = np.array(parquet.read_table(out)["vector"].to_pylist(), np.float32)
    else:
        read = np.load(out, allow_pickle=False)
        found = read["vectors"] if suffix == ".npz" else read
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, judged, atol=1e-6)


def test_a_bad_text_is_named_by_its_row_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('number,text\n1,glass\n2,""\n')
    with pytest.raises(RejectedError, match="row 1"):
        predict(run.folder, tmp_path / "rows.csv", tmp_path / "v.npy")
    assert [p.name for p in tmp_path.iterdir()] == ["rows.csv"]


def test_vectors_are_not_written_as_text(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("number,text\n1,glass\n")
    with pytest.raises(UsageError, match=r"v\.npy"):
        predict(run.folder, tmp_path / "rows.csv", tmp_path / "v.csv")


def test_a_gate_holds_each_measure_against_its_limit(run: Run, tmp_path: Path) -> None:
    measures = run.scores["models"]["distilled"]["measures"]
    names = {"rank_correlation": "spearman", "recall": "recall_10", "ndcg": "ndcg_10", "precision": "precision_10"}
    lines = [f"min_{limit} = {measures[name]['low'] - 1e-6}" for limit, name in names.items()]
    gate = tmp_path / "gate.toml"
    gate.write_text("\n".join([*lines, 'min_verdict = "worse"', "max_bytes = 1_000_000"]))
    kept = shell("check", run.folder, "--gate", gate)
    assert kept.returncode == 0, kept.stderr
    assert kept.stdout.count(": met") == 6
    gate.write_text(f"min_rank_correlation = {measures['spearman']['low'] + 1e-6}\nmin_recall = -1.0\n")
    broken = shell("check", run.folder, "--gate", gate, "--json")
    assert broken.returncode == 3
    assert [(c["name"], c["passed"]) for c in json.loads(broken.stdout)] == [
        ("min_rank_correlation", False),
        ("min_recall", True),
    ]


def test_a_gate_for_classifiers_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text("max_accuracy_loss = 0.1\n")
    done = shell("check", run.folder, "--gate", tmp_path / "gate.toml")
    assert (done.returncode, "'max_accuracy_loss' for this task" in done.stderr) == (2, True)


def test_a_folder_is_not_resumed_as_one_of_another_task(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    table = tomllib.loads((run.folder / "recipe.toml").read_text())
    recipe.write_text(tomli_w.dumps(table | {"task": {"name": "classification"}, "method": [{"name": "hinton"}]}))
    done = shell("distill", recipe, "--output.dir", run.folder)
    assert (done.returncode, "holds a run of another recipe" in done.stderr) == (2, True), done.stderr


def test_a_run_that_is_not_finished_is_told_from_a_broken_one(run: Run, tmp_path: Path) -> None:
    place = copied(run, tmp_path / "early", "costs.json", SCORES, VECTORS, "student", "report.html", "export")
    for verb in ("evaluate", "report", "export"):
        done = shell(verb, place)
        assert done.returncode == 2, verb
        assert "`stillhouse distill" in done.stderr, done.stderr


def test_a_tokenizer_file_pads_to_the_longest_and_cuts_as_the_encoder_does(run: Run) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    encoder = run.load().encoder
    assert isinstance(encoder, TextEncoder)
    read = tokenizers.Tokenizer.from_str(encoder.tokenizer_file())
    texts = ["glass", "glass " * 50]
    ids = np.array([encoding.ids for encoding in read.encode_batch(texts)])
    assert ids.shape[1] == encoder.length
    assert (ids == encoder.tokenizer_ids(encoder.encode(texts)).numpy()).all()
