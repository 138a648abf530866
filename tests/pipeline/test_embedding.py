"""Embedders from a recipe to a judged folder: labels train nothing, a stopped run ends with the same bits."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from stillhouse.cli import main
from stillhouse.data import TextEncoder
from stillhouse.engine.checkpoint import save_checkpoint
from stillhouse.errors import UsageError
from stillhouse.evaluation import Predictions
from stillhouse.pipeline import Run, distill, load, tune
from stillhouse.recipe import parse
from stillhouse.store import Store
from stillhouse.tasks.embedding.contrast import info_nce, lose_words
from tests.evaluation.schemas import keep_to_schema
from tests.pipeline.embedding_runs import recipe
from tests.pipeline.helpers import opened
from tests.reporting.markup import parsed
from tests.teachers.hub_folders import TEXTS


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


def scores(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "scores.json").read_text())
    return found


def test_a_run_keeps_to_its_schema(run: Run, derived: Run) -> None:
    for done in (run, derived):
        keep_to_schema("embedding", scores(done))


def test_the_teachers_vectors_are_kept_once_and_are_its_own(run: Run, folder: Path) -> None:
    found = opened(recipe(folder, "static"))
    inputs = found.context.data.train.inputs
    store, rows = Store.open(run.folder / "store"), np.arange(len(inputs))
    kept = store.read(rows, np.zeros_like(rows))
    with torch.inference_mode():
        asked = found.teachers["teacher"].module(inputs).numpy()
    assert kept["feature:embedding"] == pytest.approx(asked, abs=2e-3)
    assert sum(array.size for array in kept.values()) == asked.size


def test_what_ships_embeds_texts_as_the_judged_student_did(run: Run, derived: Run, folder: Path) -> None:
    with (folder / "texts.csv").open(encoding="utf-8", newline="") as file:
        texts = np.array([row["text"] for row in csv.DictReader(file)], object)
    for done in (run, derived):
        told = Predictions.load(done.folder / "predictions.npz")
        again = load(done.folder).embed(texts[told.rows])
        assert np.array_equal(again, told.outputs("distilled")["0"])


def test_the_students_of_a_seed_begin_alike_and_the_derived_one_with_its_teachers_weights(derived: Run) -> None:
    told = Predictions.load(derived.folder / "predictions.npz")
    assert np.array_equal(told.outputs("start")["0"], told.outputs("start")["1"])
    assert not np.array_equal(told.outputs("distilled")["0"], told.outputs("distilled")["1"])
    assert scores(derived)["models"]["start"]["measures"]["spearman"]["value"] > 0.5


def test_labels_train_nothing(run: Run, folder: Path) -> None:
    lines = (folder / "texts.csv").read_text().splitlines()
    other = folder / "other"
    other.mkdir()
    # Balanced groups stay balanced, so the same rows are held out; every label is another one.
    renamed = [lines[0], *(line[:-1] + {"a": "x", "b": "y", "c": "z"}[line[-1]] for line in lines[1:])]
    (other / "texts.csv").write_text("\n".join(renamed) + "\n")
    again = distill(recipe(folder, "renamed", data={"text": str(other / "texts.csv")}))
    for arm in ("distilled", "contrast"):
        mine, theirs = (load_file(r.fit_folder(arm, 0) / "model.safetensors") for r in (run, again))
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    seen = {arm: side["labels"] for arm, side in scores(run)["saw"].items()}
    assert seen.pop("teacher") is None, "nobody here knows what it was trained on"
    assert set(seen.values()) == {0}


def test_texts_without_labels_are_judged_by_the_teachers_neighbours(folder: Path) -> None:
    made = recipe(folder, "bare")
    bare = folder / "bare.csv"
    lines = (folder / "texts.csv").read_text().splitlines()
    bare.write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    data = made.data.model_copy(update={"text": bare, "target": None})
    found = scores(distill(made.model_copy(update={"data": data})))
    assert found["labelled_rows"] == 0
    assert found["comparisons"][0]["measure"] == "ndcg_10"


def test_the_same_call_again_trains_and_asks_nothing(run: Run, folder: Path) -> None:
    names = ("predictions.npz", "costs.json", "fits/distilled/0/model.safetensors", "store/manifest.json")
    before = {name: (run.folder / name).stat().st_mtime_ns for name in names}
    distill(recipe(folder, "static"))
    assert {name: (run.folder / name).stat().st_mtime_ns for name in names} == before


def test_a_run_that_is_cut_off_between_checkpoints_ends_with_the_same_bits(
    folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, saved = recipe(folder, "cut", training={"workers": 1}), []

    def save_and_fail(path: Path, **told: Any) -> None:
        save_checkpoint(path, **told)
        saved.append(told["step"])
        if len(saved) == 2:
            raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr("stillhouse.engine.keeping.save_checkpoint", save_and_fail)
        with pytest.raises(OSError, match="no space"):
            distill(made)
    assert saved == [10, 20]
    again = distill(made)
    for arm in ("distilled", "contrast"):
        mine, theirs = (load_file(r.fit_folder(arm, 0) / "model.safetensors") for r in (run, again))
        assert all(torch.equal(mine[name], theirs[name]) for name in mine), arm


@pytest.mark.fault("D28", "the report runs no script", exit=0)
def test_the_report_has_no_script_and_holds_the_figures(run: Run) -> None:
    page = parsed(run.report_path)
    assert not {"script", "iframe", "link rel=stylesheet"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    found = scores(run)
    assert f"{100 * found['models']['distilled']['measures']['precision_10']['value']:.1f} %" in page.text
    assert found["sentence"].partition(". ")[0].replace(" -", " \N{MINUS SIGN}") in page.text


def test_the_command_prints_the_scores(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["distill", str(run.folder / "recipe.toml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == scores(run)["verdict"]


@pytest.mark.parametrize(
    ("over", "says"),
    [
        ({"store": {"codec": "topk:4"}}, r"\[store\] codec"),
        ({"teacher": {"tune": "full"}}, r"\[teacher\] hub"),
        ({"student": {"name": "decision_tree", "settings": {}}}, "decision_tree|texts"),
    ],
)
def test_what_embedders_do_not_have_is_refused(folder: Path, over: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        distill(recipe(folder, "refused", **over))


def test_a_tournament_of_embedders_is_refused_before_the_teacher_is_asked(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"has none.*stillhouse distill"):
        tune(recipe(folder, "tuned"), trials=1)
    assert not (folder / "tuned").exists()


def test_a_method_of_logits_is_refused(folder: Path) -> None:
    made = parse(
        recipe(folder, "refused").model_dump(mode="json", exclude_none=True) | {"method": [{"name": "hinton"}]}
    )
    with pytest.raises(UsageError, match="hinton"):
        distill(made)


def test_contrast_is_the_cross_entropy_of_the_papers_formula() -> None:
    first, second = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(first[:, None], second[None], dim=-1)
    expected = -(torch.exp(cosine.diagonal() / 0.05) / torch.exp(cosine / 0.05).sum(1)).log().mean()
    assert info_nce(first, second).item() == pytest.approx(expected.item(), rel=1e-4)


def test_lost_words_are_some_of_the_words_and_never_all() -> None:
    encoder = TextEncoder.fit(TEXTS * 3, vocabulary=200, length=16)
    ids, special = encoder.encode(TEXTS), torch.tensor(encoder.special_ids)
    torch.manual_seed(0)
    for share in (0.0, 0.3, 1.0):
        left = lose_words(ids, special, share)
        around = torch.isin(ids, special)
        assert torch.equal(left[around], ids[around])
        assert ((left == ids) | (left == 0)).all()
        assert (~torch.isin(left, special)).any(1).all()
    assert torch.equal(lose_words(ids, special, 0.0), ids)
    assert not torch.equal(lose_words(ids, special, 0.3), ids)
