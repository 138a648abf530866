"""A student that ships with the teacher's classifier is loaded, judged and counted as what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import stillhouse
from stillhouse.pipeline import Run, distill
from stillhouse.recipe import read
from stillhouse.types import count_parameters
from tests.data.reading import read as read_source
from tests.pipeline.recipes import write_recipe

METHOD = [{"name": "simkd", "weight": 0.9}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("simkd")
    return distill(read(write_recipe(folder, method=METHOD, training={"seeds": [0]})), accept_teacher=True)


def test_the_loaded_student_is_the_one_that_was_judged(run: Run) -> None:
    model, source = stillhouse.load(run.folder), read_source(name="digits")
    with np.load(run.folder / "predictions.npz") as told:
        rows, expected = told["rows"], told["distilled/0"]
    np.testing.assert_allclose(np.log(model.predict_proba(source.raw[rows])), expected, rtol=1e-4, atol=1e-5)


def test_its_description_holds_names_and_shapes_alone(run: Run) -> None:
    card = json.loads((run.folder / "student" / "model.json").read_text())
    assert card["net"]["parts"]["methods"] == [{"name": "simkd", "settings": {}}]
    assert card["net"]["parts"]["teacher"]["head"] == {"in_features": 32, "out_features": 10, "bias": True}


def test_projector_and_head_count_as_parameters_of_the_student(run: Run) -> None:
    costs = json.loads((run.folder / "costs.json").read_text())
    head, projector = 32 * 10 + 10, 8 * 16 + 16 * 16 * 9 + 16 * 32 + 2 * (16 + 16 + 32)
    body = 64 * 8 + 8  # the student without its own classifier
    assert costs["student"]["parameters"] == body + projector + head
    assert count_parameters(stillhouse.load(run.folder).net) == body + projector + head


def test_a_student_of_ones_own_is_loaded_into_a_module_freshly_built(tmp_path: Path) -> None:
    made = torch.Generator().manual_seed(0)
    x = torch.randn(200, 5, generator=made)
    y = (x[:, 0] > 0).long()
    big = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 2))

    def small() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2))

    run = stillhouse.distill(
        teacher=big, student=small, data=((x[:150], y[:150]), None, (x[150:], y[150:])), method=METHOD,
        out=tmp_path / "own", steps=20, batch_size=32, seeds=[0], recipe={"evaluation": {"resamples": 200}},
        accept_teacher=True,
    )  # fmt: skip
    model = stillhouse.load(run.folder, module=small())
    with np.load(run.folder / "predictions.npz") as told:
        np.testing.assert_allclose(np.log(model.predict_proba(x[150:])), told["distilled/0"], rtol=1e-4, atol=1e-5)


def test_embedding_goes_through_a_whole_run(tmp_path: Path) -> None:
    entries = [{"name": "embedding", "weight": 0.5}, {"name": "hinton", "weight": 0.5}]
    run = distill(read(write_recipe(tmp_path, method=entries, training={"seeds": [0]})), accept_teacher=True)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert {"embedding", "hinton", "labels"} == {
        t for line in lines if line["arm"] == "distilled" for t in line["terms"]
    }
    assert stillhouse.load(run.folder).predict(read_source(name="digits").raw[:3]).shape == (3,)
