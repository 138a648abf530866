"""Rows on which several teachers disagree count less in what is matched, by the formula of the recipe's page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from stillhouse.cli import main
from stillhouse.data import Stream
from stillhouse.engine import Step
from stillhouse.errors import UsageError
from stillhouse.methods import make
from stillhouse.pipeline import distill
from stillhouse.recipe import read
from stillhouse.store import Store
from stillhouse.tasks.classification.losses import label_loss
from stillhouse.teachers.stored import StoredTeacher
from stillhouse.types import Batch, Outputs
from tests.pipeline.helpers import opened

SCALE = 3.0
SMALL: dict[str, Any] = {"name": "mlp_large", "settings": {"hidden": [8]}, "training": {"steps": 30, "batch_size": 32}}
MEMBERS: dict[str, Any] = {"member": [SMALL, {"name": "extra_trees", "settings": {"n_estimators": 10}}]}


def recipe(folder: Path, **over: Any) -> Path:
    training = {"steps": 4, "batch_size": 32, "seeds": [1], "log_every": 1, "disagreement": SCALE, "workers": 1}
    table: dict[str, Any] = {
        "data": {"name": "digits", "labels": 100, "valid": 0.1},
        "teacher": {**MEMBERS, "calibrate": "none"},
        "student": {"name": "mlp_tiny", "settings": {"hidden": [8]}},
        "method": [{"name": "hinton", "weight": 0.9, "temperature": 2.0}],
        "training": training,
        "controls": {"all_labels": False},
        "evaluation": {"resamples": 50},
        "output": {"dir": str(folder / "run")},
    }
    for key, value in over.items():
        table[key] = value if isinstance(value, list) else table[key] | value
    (folder / "recipe.toml").write_text(tomli_w.dumps(table))
    return folder / "recipe.toml"


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def weighted_hinton(student: np.ndarray, teacher: np.ndarray, apart: np.ndarray, temperature: float) -> float:
    """T^2 / N * sum_i exp(-scale * d_i) KL(p_i || q_i), in float64."""
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    return float(temperature**2 * (np.exp(-SCALE * apart) * (p * np.log(p / q)).sum(1)).mean())


def test_a_step_weighs_what_is_matched_and_not_the_labels() -> None:
    draw = torch.Generator().manual_seed(0)
    inputs, theirs = torch.randn(6, 4, generator=draw), torch.randn(6, 3, generator=draw)
    apart = torch.tensor([0.0, 0.1, 0.2, 0.4, 0.6, 0.69])
    student = torch.nn.Linear(4, 3)
    step = Step(student, [("hinton", make("hinton", temperature=2.0), 0.5)], loss=label_loss, label_weight=0.25)
    rows = torch.arange(6)
    batch = Batch(inputs, torch.tensor([0, 1, 2, -1, -1, -1]), rows, torch.zeros_like(rows))
    plain = step(batch, Outputs(theirs))
    weighed = step(batch, Outputs(theirs, weights=torch.exp(-SCALE * apart)))
    assert torch.equal(plain["labels"], weighed["labels"])
    said, told, differ = (t.detach().double().numpy() for t in (student(inputs), theirs, apart))
    by_hand = weighted_hinton(said, told, differ, 2.0)
    assert weighed["hinton"].item() == pytest.approx(0.5 * by_hand, rel=1e-5)
    assert weighed["hinton"].item() < 0.9 * plain["hinton"].item()
    tokens = Batch(inputs, batch.targets, rows, rows, mask=torch.ones(6, dtype=torch.bool))
    assert step(tokens, Outputs(theirs, weights=torch.exp(-SCALE * apart)))["hinton"] == weighed["hinton"]


@pytest.mark.slow
def test_a_run_trains_its_students_by_weighed_rows(tmp_path: Path) -> None:
    file = recipe(tmp_path)
    run = distill(read(file), accept_teacher=True)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    logged = next(line for line in lines if line["arm"] == "distilled" and line["step"] == 1)["terms"]["hinton"]
    have = opened(read(file)).context
    rows, views = Stream(torch.arange(len(have.data.train.targets)), batch_size=32, seed=1).at(0)
    torch.manual_seed(1)
    student = have.students.make()
    kept = Store.open(run.folder / "store").read(rows.numpy(), views.numpy())
    apart = kept["feature:disagreement"][:, 0].astype(np.float64)
    said = student(have.data.train.inputs[rows]).detach().double().numpy()
    by_hand = weighted_hinton(said, kept["logits"].astype(np.float64), apart, 2.0)
    assert apart.max() > 0.2, "the teachers disagree on some row"
    assert logged == pytest.approx(0.9 * by_hand, rel=1e-4)


@pytest.mark.parametrize("codec", ["topk:3", "sampled:4"])
def test_answers_of_which_some_classes_are_known_are_weighed_too(tmp_path: Path, codec: str) -> None:
    file = recipe(tmp_path)
    file.write_text(file.read_text() + f'\n[store]\ncodec = "{codec}"\n')
    assert main(["label", str(file)]) == 0
    store = Store.open(tmp_path / "run" / "store")
    rows = torch.arange(20)
    batch = Batch(torch.zeros(20, 1), rows, rows, torch.zeros_like(rows))
    found = StoredTeacher(store, SCALE).outputs(batch)
    apart = store.read(rows.numpy(), np.zeros(20, np.int64))["feature:disagreement"][:, 0]
    assert found.sparse is not None
    assert found.weights is not None
    np.testing.assert_allclose(found.weights, np.exp(-SCALE * apart.astype(np.float32)), rtol=1e-6)
    assert StoredTeacher(store).outputs(batch).weights is None
    method, logits = make("hinton", temperature=2.0), torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    whole = method(Outputs(logits), found, batch._replace(mask=found.weights))["soft_targets"]
    each = [
        method(Outputs(logits[i : i + 1]), StoredTeacher(store).outputs(one), one)["soft_targets"]
        for i in range(20)
        for one in [Batch(*(part[i : i + 1] for part in batch[:4]))]  # type: ignore[arg-type]
    ]
    assert whole.item() == pytest.approx((found.weights * torch.stack(each)).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"teacher": {"name": "mlp_large", "member": []}}, r"Add `\[\[teacher.member\]\]`"),
        ({"method": [{"name": "dist"}]}, "'dist' matches how the rows of a batch"),
        ({"student": {"name": "decision_tree", "settings": {}}}, "'decision_tree' is fitted at once"),
        ({"teacher": MEMBERS | {"generations": 2}}, "the last of the chain"),
        ({"training": {"disagreement": -1.0}}, "greater than or equal to 0"),
    ],
)
def test_it_is_refused_where_it_has_no_meaning(tmp_path: Path, over: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        distill(read(recipe(tmp_path, **over)))
    assert not (tmp_path / "run" / "run.json").exists()
