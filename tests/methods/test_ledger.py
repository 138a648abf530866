"""Every method's value and gradient against its float64 reference, and the published values."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from benchmarks import ledger

from stillhouse import methods
from tests.reference.case import Array, Case
from tests.reference.registry import cases, central_difference, value_and_gradient

ALL = [
    pytest.param(method, case, id=f"{method}-{case.function}-{i}")
    for method, own in cases().items()
    for i, case in enumerate(own)
]


def drawn(case: Case, seed: int) -> tuple[Array, ...]:
    return case.inputs(np.random.default_rng(seed))


@pytest.mark.parametrize(("method", "case"), ALL)
@pytest.mark.parametrize("seed", [0, 1])
def test_value_is_that_of_the_paper(method: str, case: Case, seed: int) -> None:
    inputs = drawn(case, seed)
    ours, _ = value_and_gradient(method, case, inputs)
    assert ours == pytest.approx(case.reference(*inputs, **case.settings), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("method", "case"), ALL)
def test_gradient_is_that_of_the_paper(method: str, case: Case) -> None:
    inputs = drawn(case, 2)
    _, ours = value_and_gradient(method, case, inputs)
    theirs = central_difference(case, inputs)
    assert np.abs(ours - theirs).max() <= 1e-7 * np.abs(theirs).max()


@pytest.mark.parametrize(("method", "case"), ALL)
def test_value_holds_in_single_precision(method: str, case: Case) -> None:
    inputs = drawn(case, 3)
    ours, _ = value_and_gradient(method, case, inputs, torch.float32)
    assert ours == pytest.approx(case.reference(*inputs, **case.settings), rel=1e-4, abs=1e-6)


def test_every_method_has_a_reference() -> None:
    assert set(methods.names()) <= set(cases())


def test_the_page_is_that_of_the_cards() -> None:
    page = ledger.PAGE.read_text(encoding="utf-8")
    assert set(ledger.committed(page)) == set(methods.names()), "run: python -m benchmarks.ledger"
    assert ledger.render(ledger.committed(page)) == page, "run: python -m benchmarks.ledger"


def test_an_error_that_grew_past_its_bound_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hinton": cases()["hinton"]}
    monkeypatch.setattr(ledger, "cases", lambda: small)
    page = ledger.current("")[0]
    row = next(line for line in page.splitlines() if line.startswith("| [`hinton`"))
    boast = page.replace(row, row.replace("| 1e-13 |", "| 1e-30 |"))
    assert ledger.current(page) == (page, [])
    assert ledger.current(boast) == (page, ["hinton"])


@pytest.mark.slow
def test_the_ledger_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ledger", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
