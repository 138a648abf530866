"""Assistants and generations: each net is taught by the one before, and the student by the last."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from stillhouse.errors import UsageError
from stillhouse.pipeline import Run, distill
from stillhouse.recipe import Recipe, parse, read
from stillhouse.teachers import StoredTeacher
from stillhouse.types import Batch
from tests.pipeline.helpers import opened
from tests.pipeline.recipes import stillhouse, write_recipe

CHAIN: dict[str, Any] = {
    "assistant": [{"name": "mlp_tiny", "settings": {"hidden": [16]}, "training": {"steps": 30, "batch_size": 32}}],
    "training": {"seeds": [0], "steps": 20},
    "controls": {"all_labels": False, "same_teacher": True},
    "store": {"dtype": "float32"},
}


def chained(folder: Path) -> Recipe:
    recipe = read(write_recipe(folder, **CHAIN))
    teacher = recipe.teacher.model_copy(update={"generations": 3})
    return recipe.model_copy(update={"teacher": teacher})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return distill(chained(tmp_path_factory.mktemp("chain")), accept_teacher=True)


def test_the_chain_goes_from_large_to_small_and_sees_no_more_labels_than_the_student(run: Run) -> None:
    sizes = {"assistant_1": 64 * 16 + 16 + 16 * 10 + 10, "generation_1": 64 * 8 + 8 + 8 * 10 + 10}
    sizes["generation_2"] = sizes["generation_1"]
    told = [(c["first"], c["name"], c["parameters"], c["labels"]) for c in run.record["chain"]]
    expected = [(first, name, size, 60) for first in ("teacher", "teacher_same") for name, size in sizes.items()]
    assert told == expected


def test_the_student_is_taught_by_the_last_link(run: Run) -> None:
    found = opened(run)
    last, first = found.chains["teacher"][-1], found.teachers["teacher"]
    inputs, rows = found.context.data.train.inputs[:20], torch.arange(20)
    batch = Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows))
    kept = StoredTeacher(last.ask(lambda rows: None)).outputs(batch).logits
    with torch.no_grad():
        torch.testing.assert_close(kept, last.module(inputs), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(kept, first.module(inputs), atol=0.1)


def test_each_generation_starts_from_the_same_student_and_ends_with_another(run: Run) -> None:
    links = opened(run).chains["teacher"]
    one, two = (link.fresh().state_dict() for link in links[1:])
    assert all(torch.equal(one[k], two[k]) for k in one)
    one, two = (link.module.state_dict() for link in links[1:])
    assert not all(torch.equal(one[k], two[k]) for k in one)


def test_the_teacher_of_the_table_stays_the_first_one(run: Run) -> None:
    models = run.scores["models"]
    assert set(models) >= {"teacher", "teacher_same", "labels_only", "distilled", "distilled_same"}
    assert models["teacher"]["parameters"] == 64 * 32 + 32 + 32 * 10 + 10
    arms = {json.loads(line)["arm"] for line in (run.folder / "metrics.jsonl").read_text().splitlines()}
    assert arms >= {"assistant_1", "generation_2", "assistant_1_same", "generation_2_same"}


def test_the_same_call_again_trains_nothing_anew(run: Run) -> None:
    weights = sorted((run.folder / "links").rglob("model.safetensors"))
    assert len(weights) == 6
    stamps = [path.stat().st_mtime_ns for path in weights]
    distill(chained(run.folder.parent), accept_teacher=True)
    assert [path.stat().st_mtime_ns for path in weights] == stamps


def test_a_method_that_names_layers_of_one_pair_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    fitnet = {"name": "fitnet", "student_layer": "blocks.0", "teacher_layer": "blocks.0"}
    for entry in (fitnet, {"name": "simkd"}):
        folder = tmp_path / entry["name"]
        folder.mkdir()
        recipe = read(write_recipe(folder, method=[entry], **CHAIN))
        with pytest.raises(UsageError, match=r"further nets between them"):
            distill(recipe)


def test_an_assistant_is_named_in_the_recipe_and_checked(tmp_path: Path) -> None:
    recipe = read(write_recipe(tmp_path, assistant=[{"name": "mlp_tny"}]))
    with pytest.raises(UsageError, match=r"mlp_tny.*Did you mean 'mlp_tiny'"):
        distill(recipe)
    with pytest.raises(UsageError, match=r"assistant\.0\.sizes"):
        read(write_recipe(tmp_path, assistant=[{"name": "mlp_tiny", "sizes": 1}]))


def test_assistants_and_generations_are_flags_too() -> None:
    words = "distill --data.name digits --assistant mlp_tiny,hidden=[64] --assistant mlp_tiny --teacher.generations 2"
    done = stillhouse(*words.split(), "--print-recipe")
    assert done.returncode == 0, done.stderr
    recipe = parse(tomllib.loads(done.stdout))
    assert [(a.name, a.settings) for a in recipe.assistant] == [("mlp_tiny", {"hidden": [64]}), ("mlp_tiny", {})]
    assert recipe.teacher.generations == 2
