"""[views] makes the views that it names, or says why not: nothing of it is without effect and without a word."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.recipe import parse

RNG = np.random.default_rng(0)
LABELS = np.arange(96) % 2
IMAGES = (RNG.random((96, 1, 8, 8)) * 0.5 + 0.5 * LABELS[:, None, None, None]).astype("float32")
TABLE = IMAGES.reshape(96, 64)[:, :5]
TEACHER = {"name": "mlp_large", "training": {"steps": 60}}
QUICK: dict[str, Any] = {"teacher": TEACHER, "student": "mlp_tiny", "steps": 20, "seeds": [0], "verbose": False}


def parts(rows: np.ndarray) -> Any:
    return (rows[:64], LABELS[:64]), None, (rows[64:], LABELS[64:])


@pytest.mark.parametrize("policy", ["shift", "affine"])
def test_a_policy_with_one_view_a_row_is_refused_and_each_cure_works(tmp_path: Path, policy: str) -> None:
    views: dict[str, Any] = {"policy": policy}
    with pytest.raises(UsageError, match=rf'policy = "{policy}" would change no row. Write `count = 8`, remove that'):
        sh.label({"views": views | {"count": 1}}, data=parts(IMAGES), out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()
    cures = (views | {"count": 8}, 8), (views, 8), ({"policy": "none", "count": 1}, 1)
    for number, (cure, found) in enumerate(cures):
        told = sh.label({"views": cure}, data=parts(IMAGES), out=tmp_path / str(number), **QUICK)
        assert told["views"] == found


@pytest.mark.parametrize("table", [{"count": 4}, {"strength": 0.5}, {"model": "bert"}])
def test_settings_of_views_without_a_policy_are_refused(tmp_path: Path, table: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(table))} changes no row without a policy. Name one .*affine, "):
        sh.label({"views": table}, data=parts(IMAGES), out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_views_are_switched_off_by_the_policy_alone(tmp_path: Path) -> None:
    views = {"policy": "none", "count": 4, "strength": 1.0}
    assert sh.label({"views": views}, data=parts(IMAGES), out=tmp_path, **QUICK)["views"] == 1


@pytest.mark.parametrize(("policy", "strength"), [("affine", "1"), ("shift", "1"), ("cutout", "2"), ("noise", "0.1")])
def test_what_is_not_given_is_fitted_to_the_rows_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, policy: str, strength: str
) -> None:
    caplog.set_level(logging.INFO, "stillhouse")
    told = sh.label({"views": {"policy": policy}}, data=parts(IMAGES), out=tmp_path, **QUICK | {"verbose": True})
    assert told["views"] == 8
    assert f"Views: 8 a row, the row itself and 7 by '{policy}' of strength {strength};" in caplog.text


def test_views_that_are_given_in_full_are_not_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stillhouse")
    views = {"policy": "shift", "count": 3, "strength": 1}
    told = sh.label({"views": views}, data=parts(IMAGES), out=tmp_path, **QUICK | {"verbose": True})
    assert told["views"] == 3
    assert "Views:" not in caplog.text


@pytest.mark.parametrize("policy", ["affine", "shift", "cutout", "words"])
def test_a_policy_that_does_not_fit_the_rows_is_refused_before_training(tmp_path: Path, policy: str) -> None:
    with pytest.raises(UsageError, match=rf'policy = "{policy}"'):
        sh.distill({"views": {"policy": policy}}, data=parts(TABLE), out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


def test_a_recipe_whose_views_are_not_given_is_the_run_that_it_was() -> None:
    assert parse({}).digest() == parse({"views": {"policy": "none", "count": 1, "strength": 2.0}}).digest()
