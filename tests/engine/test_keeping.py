"""Which weights a fit returns, and that it chooses the same ones when it was interrupted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stillhouse.engine import LOG
from stillhouse.engine.log import Watch
from stillhouse.errors import UsageError
from stillhouse.tasks.classification.losses import MONITOR, validation
from tests.engine.small import BUDGET, run, valid

# So fast that the loss on the few validation rows rises again before the end.
RESTLESS = replace(BUDGET, lr=0.1, keep="best")


def test_the_best_weights_are_those_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    trained = run(tmp_path, RESTLESS)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    losses = [line["valid_nll"] for line in lines]
    assert min(losses) < losses[-1]
    assert Watch(valid(), validation, MONITOR).figures(trained)["valid_nll"] == pytest.approx(min(losses))
    lowest = [loss < min(losses[:i], default=float("inf")) for i, loss in enumerate(losses)]
    assert [line["best"] for line in lines] == lowest


def test_a_fit_that_was_interrupted_after_its_best_line_returns_the_same_weights(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", RESTLESS).state_dict()
    losses = [json.loads(line)["valid_nll"] for line in (tmp_path / "whole" / LOG).read_text().splitlines()]
    best_step = RESTLESS.log_every * (losses.index(min(losses)) + 1)
    told = 0

    class InterruptedFitError(Exception):
        pass

    def stop(steps: int) -> None:
        nonlocal told
        told += steps
        if told > best_step + 10:  # a checkpoint has been written since
            raise InterruptedFitError

    with pytest.raises(InterruptedFitError):
        run(tmp_path / "cut", RESTLESS, advance=stop)
    again = run(tmp_path / "cut", RESTLESS).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in again.items())


def test_the_best_cannot_be_chosen_without_validation_rows(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r'keep = "best".*valid = 0.1'):
        run(tmp_path, RESTLESS, valid=None)


def test_any_figure_that_the_task_watches_can_choose_the_weights(tmp_path: Path) -> None:
    def errors(outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        return {"error": (outputs.argmax(1) != targets).float().mean().item()}

    run(tmp_path / "error", RESTLESS, validation=errors, monitor="error")
    lines = [json.loads(line) for line in (tmp_path / "error" / LOG).read_text().splitlines()]
    found = [line["valid_error"] for line in lines]
    assert [line["best"] for line in lines] == [x < min(found[:i], default=2.0) for i, x in enumerate(found)]
    with pytest.raises(UsageError, match=r"'nll'.*gives error"):
        run(tmp_path / "nll", RESTLESS, validation=errors)


PATIENT = replace(RESTLESS, steps=400, patience=20)


def test_a_fit_ends_when_the_validation_loss_has_not_been_lower_for_the_patience(tmp_path: Path) -> None:
    trained = run(tmp_path, PATIENT)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    losses = [line["valid_nll"] for line in lines]
    lowest = losses.index(min(losses))
    assert lines[-1]["step"] - lines[lowest]["step"] == PATIENT.patience
    assert lines[-1]["step"] < PATIENT.steps
    assert Watch(valid(), validation, MONITOR).figures(trained)["valid_nll"] == pytest.approx(min(losses))


@pytest.mark.parametrize("early", [0, 7])
def test_a_patient_fit_that_was_interrupted_ends_at_the_same_step_with_the_same_weights(
    tmp_path: Path, early: int
) -> None:
    whole = run(tmp_path / "whole", PATIENT).state_dict()
    lines = (tmp_path / "whole" / LOG).read_text()
    last, told = json.loads(lines.splitlines()[-1])["step"], 0

    class InterruptedFitError(Exception):
        pass

    def stop(steps: int) -> None:
        nonlocal told
        told += steps
        if told >= last - early:
            raise InterruptedFitError

    with pytest.raises(InterruptedFitError):
        run(tmp_path / "cut", PATIENT, advance=stop)
    again = run(tmp_path / "cut", PATIENT).state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in again.items())
    assert (tmp_path / "cut" / LOG).read_text() == lines
