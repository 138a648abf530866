"""A training step never waits for the device: nothing in the engine asks a tensor for its value between log lines."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from stillhouse.engine import LOG
from tests.engine.small import BUDGET, run

ASKS = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "cpu")
ROOMS = ("engine", "taps", "teachers")  # data/ asks for row ids, which are made on the host and stay there


def test_between_two_log_lines_no_value_comes_to_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()

    def watched(name: str) -> Callable[..., Any]:
        original = getattr(Tensor, name)

        def ask(self: Tensor, *given: Any, **named: Any) -> Any:
            frame = traceback.extract_stack(limit=2)[0]
            if any(f"/stillhouse/{room}/" in frame.filename for room in ROOMS):
                asked[f"{Path(frame.filename).name}:{frame.name}:{name}"] += 1
            return original(self, *given, **named)

        return ask

    for name in ASKS:
        monkeypatch.setattr(Tensor, name, watched(name))
    totals = []
    for steps in (20, 200):  # one log line each, at the end
        asked.clear()
        run(tmp_path / str(steps), replace(BUDGET, steps=steps, log_every=steps, checkpoint_every=10_000))
        assert len((tmp_path / str(steps) / LOG).read_text().splitlines()) == 1
        totals.append(dict(asked))
    # What is asked for is asked once a fit or once a log line, so ten times the steps ask for nothing more.
    assert totals[1] == totals[0]
    assert totals[0]
