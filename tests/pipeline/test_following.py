"""Following a run from Python while it trains: ``on_log``, and weights that are kept on the way."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import stillhouse as sh
from stillhouse.errors import UsageError
from tests.pipeline.recipes import write_recipe


@pytest.mark.parametrize("workers", [1, 2])
def test_every_line_of_every_net_arrives_here_whatever_the_workers(tmp_path: Path, workers: int) -> None:
    lines: list[dict[str, Any]] = []
    here: list[int] = []

    def note(line: dict[str, Any]) -> None:
        lines.append(line)
        here.append(os.getpid())

    file = write_recipe(tmp_path, training={"workers": workers, "keep_every": 20}, controls={"all_labels": False},
                        student={"calibrate": "none"})  # what is kept on the way has no temperature  # fmt: skip
    run = sh.distill(file, accept_teacher=True, on_log=note, verbose=False)
    written = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(written) >= 16
    assert set(here) == {os.getpid()}
    assert {line["arm"] for line in lines} == {"teacher", "distilled", "labels_only"}
    assert all({"step", "loss", "lr", "terms", "valid_accuracy"} <= set(line) for line in lines)
    fit = run.folder / "fits" / "distilled" / "0"
    assert sorted(path.name for path in fit.glob("step-*")) == ["step-000020.safetensors", "step-000040.safetensors"]
    last, early = load_file(fit / "step-000040.safetensors"), load_file(fit / "step-000020.safetensors")
    final = load_file(fit / "model.safetensors")
    assert all(last[name].equal(value) for name, value in final.items())
    assert any(not early[name].equal(value) for name, value in final.items())


def test_an_error_in_on_log_is_said_and_does_not_lose_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def breaks(line: dict[str, Any]) -> None:
        calls.append(line)
        raise ValueError("the dashboard is down")

    with caplog.at_level(logging.WARNING, "stillhouse"):
        run = sh.distill(write_recipe(tmp_path), accept_teacher=True, on_log=breaks, verbose=False)
    assert run.verdict
    assert len(calls) == 1
    assert "the dashboard is down" in caplog.text


def test_what_cannot_be_called_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"on_log = 3 cannot be called.*on_log=print"):
        sh.distill(write_recipe(tmp_path), on_log=3)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
