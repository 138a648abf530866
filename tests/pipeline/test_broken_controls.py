"""A control that knows less than the shares of the classes is no rival: it is flagged, and trained again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor, nn

import stillhouse as sh

WIDTH = 30  # most columns are noise, which a net learns by heart from few rows


class Rule(nn.Module):
    """The true log-odds."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.full((len(x),), 0.9), 3 * x[:, 0]], 1)


def rows(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, WIDTH)).astype(np.float32)
    return x, (rng.random(number) < 1 / (1 + np.exp(0.9 - 3 * x[:, 0]))).astype(np.int64)


def distil(out: Path, lr: float = 0.02, **training: Any) -> Any:
    x, y = rows(600, 0)
    seen = y.astype(float)
    seen[150:] = np.nan
    recipe = {"training": {"keep": "last"} | training, "controls": {"simple": False, "all_labels": False}}
    return sh.distill(
        recipe | {"evaluation": {"resamples": 100}}, teacher=Rule(), student="mlp_tiny",
        data=((x, seen), rows(200, 1), rows(300, 2)), steps=200, lr=lr, seeds=[0], out=out, accept_teacher=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return distil(tmp_path_factory.mktemp("broken") / "run")


def test_a_control_that_learned_its_labels_by_heart_is_trained_again(run: Any) -> None:
    found = run.scores["models"]["labels_only"]["retuned"]["0"]
    _, y = rows(200, 1)
    seen = rows(600, 0)[1][:150]
    share = (seen.sum() + 1) / 152
    assert found["least"] == pytest.approx(log_loss(y, np.full(200, share)), rel=1e-5)
    assert found["loss"] > found["least"]
    losses = [found["loss"], *(one["loss"] for one in found["tried"])]
    assert losses[found["chosen"]] == min(losses)
    assert min(losses) <= found["least"]
    measures = run.scores["models"]["labels_only"]["measures"]
    assert measures["nll"]["value"] < found["loss"]
    assert "retuned" not in run.scores["models"]["distilled"]


def test_the_flag_stands_in_the_scores_and_in_the_report(run: Any) -> None:
    (said,) = [text for text in run.scores["warnings"] if text.startswith("Labels only (seed 0) was broken")]
    assert "trained again with stronger weight decay and fewer steps" in said
    assert "was broken" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_what_ships_is_the_net_that_was_chosen_and_its_log_is_that_of_its_training(run: Any) -> None:
    x, y = rows(300, 2)
    shipped = log_loss(y, sh.load(run.folder, arm="labels_only").predict_proba(x))
    assert shipped == pytest.approx(run.scores["models"]["labels_only"]["measures"]["nll"]["value"], rel=1e-3)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    of_arm = [line for line in lines if line["arm"] == "labels_only"]
    assert all("best" in line for line in of_arm)  # the first training kept the last weights
    assert not list(run.folder.rglob("again/**/*.safetensors"))


def test_a_control_that_knows_more_than_the_shares_is_left_alone(tmp_path: Path) -> None:
    run = distil(tmp_path / "run", lr=1e-3, keep="best", patience=50, log_every=10)
    assert not any("retuned" in model for model in run.scores["models"].values())
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    last = max(line["step"] for line in lines if line["arm"] == "labels_only")
    assert last <= 200
