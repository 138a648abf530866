"""Compiled fits: the same student within rounding, the same again after a stop, and honest where nothing compiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from stillhouse.engine import compiling, describe
from stillhouse.engine.step import Step
from stillhouse.tasks.classification.losses import label_loss
from tests.engine.small import BUDGET, Net, batch, run

COMPILED = replace(BUDGET, steps=12, log_every=6, checkpoint_every=6, compile=True)


def without_dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code draws its dropout masks in another way, so the two can be compared without them only."""
    made = Net.__init__

    def init(self: Net) -> None:
        made(self)
        self.hidden[3] = nn.Identity()

    monkeypatch.setattr(Net, "__init__", init)


@pytest.mark.slow
def test_a_compiled_fit_gives_the_student_that_a_plain_one_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiling.why_not() is not None:
        pytest.skip(f"this machine cannot compile: {compiling.why_not()}")
    without_dropout(monkeypatch)
    plain = run(tmp_path / "plain", replace(COMPILED, compile=False)).state_dict()
    fast = run(tmp_path / "fast", COMPILED).state_dict()
    assert list(fast) == list(plain)
    for name, value in fast.items():
        torch.testing.assert_close(value, plain[name], rtol=1e-4, atol=1e-5)
    assert describe("auto", "32-true", compile=True)["compile"] == "on"


def test_where_nothing_compiles_the_fit_runs_plainly_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "no-such-compiler"))
    monkeypatch.setattr(torch, "compile", _no_compiler)
    compiling.why_not.cache_clear()
    try:
        assert compiling.compiled(nn.Linear(2, 2)) is None
        told = describe("auto", "32-true", compile=True)["compile"]
        assert told == "asked for, but not possible here: no C++ compiler"
        plain = run(tmp_path / "plain", replace(COMPILED, compile=False)).state_dict()
        asked = run(tmp_path / "asked", COMPILED).state_dict()
        assert all(torch.equal(value, plain[name]) for name, value in asked.items())
    finally:
        compiling.why_not.cache_clear()


def test_the_step_can_be_told_how_the_student_is_run() -> None:
    step, seen = Step(Net(), loss=label_loss).eval(), []

    def call(inputs: torch.Tensor) -> torch.Tensor:
        seen.append(len(inputs))
        result: torch.Tensor = step.student(inputs)
        return result

    assert torch.equal(step(batch(), None, call)["labels"], step(batch())["labels"])
    assert seen == [12]


def _no_compiler(*given: object, **named: object) -> None:
    raise RuntimeError("no C++ compiler")
