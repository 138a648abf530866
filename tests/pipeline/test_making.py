"""`make` and `makers` from the command line, and curves along real and made rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.errors import UsageError
from tests.pipeline.recipes import write_recipe

STROKES = {"name": "strokes", "count": 60}


def test_make_writes_rows_and_a_picture_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_recipe(tmp_path, made=[STROKES], data={"rows": 0, "labels": "all"})
    assert main(["make", str(path), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["made"]
    assert np.load(told["file"])["rows"].shape == (60, 8, 8)
    with Image.open(told["picture"]) as picture:
        assert picture.size == (80, 48)
    assert not (tmp_path / "run" / "teacher").exists()


def test_make_without_a_maker_names_the_line_that_helps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_recipe(tmp_path)
    assert main(["make", str(path)]) == UsageError.exit_code
    assert "--made strokes,count=4000" in capsys.readouterr().err
    assert main(["make", str(path), "--made", "strokes,count=40"]) == 0


def test_makers_are_listed_and_have_cards(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["makers"]) == 0
    assert "strokes" in capsys.readouterr().out
    assert main(["makers", "inversion"]) == 0
    assert "a teacher that can be differentiated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("points", "says"),
    [({"made": [0, 40]}, "--made 0 leaves no row.*Leave out the 0"), ({"calls": [80]}, "--calls 80.*Take `--made`")],
)
def test_a_curve_without_sense_is_refused_before_its_first_point(
    points: dict[str, list[int]], says: str, tmp_path: Path
) -> None:
    path = write_recipe(tmp_path, made=[STROKES], data={"rows": 0, "labels": "all"})
    with pytest.raises(UsageError, match=says):
        sh.curve(path, **points, verbose=False)  # type: ignore[arg-type]
    assert not list(tmp_path.glob("run/*"))


@pytest.mark.slow
def test_curves_along_real_and_made_rows(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, made=[STROKES], data={"labels": 20}, training={"seeds": [0], "steps": 10})
    page = sh.curve(path, rows=[32, 64], made=[0, 40], verbose=False, accept_teacher=True)
    told = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert [point["rows"] for point in told["rows"]] == [32, 64]
    assert [point["made"] for point in told["made"]] == [0, 40]
    text = page.read_text(encoding="utf-8")
    assert "real rows" in text
    assert "made rows" in text
