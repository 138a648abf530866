"""``[training] balance = "guard"`` in a run: what it needs, and what the run says of a teacher that lies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from stillhouse.errors import UsageError
from stillhouse.pipeline import distill
from tests.pipeline.tournaments import recipe_of

ALONE = {"all_labels": False, "self_trained": False, "simple": False}


class Liar(nn.Module):
    """The more sure the smaller the first column is, and of a class that has nothing to do with it."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.stack([9 * inputs[:, 0], -9 * inputs[:, 1], 9 * inputs[:, 2] * inputs[:, 3]], 1)


def test_a_lie_is_told_in_the_record_of_the_run(tmp_path: Path) -> None:
    training = {"balance": "guard", "steps": 60, "log_every": 5, "label_weight": 0.3}
    recipe = recipe_of(tmp_path, controls=ALONE, training=training, teacher={"calibrate": "none"})
    run = distill(recipe, teacher=Liar(), accept_teacher=True)
    told = [one for one in run.record["warnings"] if one["message"].startswith("guard: 'hinton' harms")]
    assert told
    assert {one["arm"] for one in told} == {"distilled"}, "no other arm has a method"


@pytest.mark.parametrize(
    ("over", "cure"),
    [
        ({"data": {"valid": 0.0}}, "valid = 0.1"),
        ({"training": {"label_weight": 0.0}}, "label_weight = 0.1"),
        ({"student": {"name": "logistic"}}, "Take a net"),
    ],
)
def test_a_guard_that_could_see_nothing_is_refused(over: dict, cure: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    over = {**over, "training": {**over.get("training", {}), "balance": "guard"}}
    with pytest.raises(UsageError, match=cure):
        distill(recipe_of(tmp_path, **over))
