"""A whole run in half precision trains about as one in single precision does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stillhouse.pipeline import distill
from stillhouse.recipe import read
from tests.pipeline.recipes import write_recipe


def last_losses(folder: Path, precision: str) -> dict[str, float]:
    """The last logged training loss of each arm."""
    folder.mkdir()
    training = {"seeds": [0], "steps": 60, "workers": 1, "precision": precision}
    run = distill(read(write_recipe(folder, training=training, controls={"all_labels": False})))
    lines = map(json.loads, (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {line["arm"]: line["loss"] for line in lines}


def test_every_arm_ends_with_about_the_same_loss(tmp_path: Path) -> None:
    whole, half = last_losses(tmp_path / "whole", "32-true"), last_losses(tmp_path / "half", "bf16-mixed")
    assert whole != half
    assert half == pytest.approx(whole, rel=0.05)
