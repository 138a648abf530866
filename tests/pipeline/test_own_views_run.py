"""A run with views by the user's own function: named in a recipe or given from Python, and part of what the run is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.errors import UsageError

pytestmark = pytest.mark.slow  # many whole runs

RNG = np.random.default_rng(0)
LABELS = np.arange(96) % 2
ROWS = (RNG.normal(size=(96, 4)) + LABELS[:, None]).astype("float32")
DATA = (ROWS[:64], LABELS[:64]), None, (ROWS[64:], LABELS[64:])
TEACHER = {"name": "mlp_large", "training": {"steps": 60}}
QUICK: dict[str, Any] = {"teacher": TEACHER, "student": "mlp_tiny", "steps": 20, "seeds": [0], "verbose": False}
SOURCE = """
import torch
def drift(row, generator):
    return row + 0.1 * torch.randn(row.shape, generator=generator)
"""


def drifting(size: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    return lambda row, generator: row + size * torch.randn(row.shape, generator=generator)


def label(out: Path, views: Any, **more: Any) -> dict[str, Any]:
    return sh.label(views=views, data=DATA, out=out, **QUICK | more)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_own_views.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "python:my_own_views:drift"
    sys.modules.pop("my_own_views", None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    out = tmp_path_factory.mktemp("own") / "run"
    views = {"policy": drifting(0.1), "count": 3, "keeps_label": False}
    return sh.distill(views=views, data=DATA, out=out, accept_teacher=True, **QUICK)


def test_a_run_with_them_is_judged_and_judged_in_full(run: sh.Run) -> None:
    assert run.scores["budget"]["views"] == 3
    run.evaluate(full=True, verbose=False)
    assert (run.folder / "full.json").exists()
    with pytest.raises(UsageError, match=r"The views of .* came from Python.*views=\.\.\."):
        sh.evaluate(run.folder, full=True, data=DATA, verbose=False)
    with pytest.raises(UsageError, match="views"):
        sh.evaluate(run.folder, full=True, data=DATA, views=drifting(0.2), verbose=False)
    sh.evaluate(run.folder, full=True, data=DATA, views=drifting(0.1), verbose=False)
    assert sh.predict(run, ROWS[:3]).shape == (3,)


def test_the_same_function_is_the_same_run_and_another_value_in_it_another(tmp_path: Path) -> None:
    first = label(tmp_path, drifting(0.1))
    assert first["views"] == 8
    assert label(tmp_path, drifting(0.1)) == first
    with pytest.raises(UsageError, match=r"another recipe \(views: not the same as there\)"):
        label(tmp_path, drifting(0.2))


def test_a_function_that_reads_what_has_changed_is_found(tmp_path: Path) -> None:
    file = tmp_path / "size.txt"
    file.write_text("0.1")

    def reads(row: Tensor, generator: torch.Generator) -> Tensor:
        return row + float(file.read_text()) * torch.rand((), generator=generator)

    label(tmp_path / "run", reads)
    label(tmp_path / "run", reads)
    file.write_text("0.2")
    with pytest.raises(UsageError, match=r"The views of .* answered differently"):
        label(tmp_path / "run", reads)


def test_a_name_in_a_recipe_runs_only_where_it_is_allowed(tmp_path: Path, module: str) -> None:
    recipe = {"views": {"policy": module, "count": 4}}
    with pytest.raises(UsageError, match="--allow-code"):
        sh.label(recipe, data=DATA, out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()
    assert sh.label(recipe, data=DATA, out=tmp_path / "run", allow_code=True, **QUICK)["views"] == 4
    with pytest.raises(UsageError, match="cannot be imported"):
        sh.label({"views": {"policy": f"{module}s"}}, data=DATA, out=tmp_path / "new", allow_code=True, **QUICK)
    assert label(tmp_path / "other", module, allow_code=True)["views"] == 8


def test_the_command_line_runs_it_too(tmp_path: Path, module: str, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "rows.npz", x=ROWS, y=LABELS)
    words = ["label", "--data.arrays", str(tmp_path / "rows.npz"), "--views.policy", module, "--teacher.name"]
    words += ["mlp_large", "--teacher.training.steps", "20", "--output.dir", str(tmp_path / "run")]
    assert main(words) == 2
    assert "--allow-code" in capsys.readouterr().err
    assert main([*words, "--allow-code"]) == 0
    assert "Views: 8 a row, the row itself and 7 by 'python:my_own_views:drift'; " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (3, "views = 3 names no view"),
        ({"count": 3}, "names no view"),
        (torch.nn.Dropout, "names no view"),
        ("afine", "Did you mean 'affine'"),
        ({"policy": drifting(0.1), "strength": 2.0}, "strength is not passed to .*Remove it"),
        ({"policy": drifting(0.1), "model": "bert"}, "guesses words of texts"),
        ({"policy": drifting(0.1), "count": 1}, "would change no row"),
        ({"policy": "noise", "keeps_label": False}, "keeps_label is for a function of your own"),
        (lambda row: row, "too many positional arguments"),
        (lambda row, generator: row, "returned 16 training rows as they are"),
    ],
)
def test_what_makes_no_views_is_refused_and_leaves_no_folder(tmp_path: Path, views: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        label(tmp_path / "run", views)
    assert not list(tmp_path.iterdir())


def test_other_views_lay_over_those_of_a_recipe_and_take_their_settings_out(tmp_path: Path) -> None:
    recipe = {"views": {"policy": "shift", "count": 3, "strength": 2.0}}
    told = sh.label(recipe, views=drifting(0.1), data=DATA, out=tmp_path / "a", **QUICK)
    assert told["views"] == 3
    table = {"policy": "noise", "count": 5, "strength": 0.2}
    assert sh.label(recipe, views=table, data=DATA, out=tmp_path / "b", **QUICK)["views"] == 5
    assert sh.label(recipe, views="none", data=DATA, out=tmp_path / "c", **QUICK)["views"] == 1


def test_a_distiller_takes_them() -> None:
    for views in ("noise", drifting(0.1)):
        model = sh.Distiller("mlp_large", "mlp_tiny", views=views, steps=20).fit(ROWS, LABELS)
        assert model.predict(ROWS[:3]).shape == (3,)
