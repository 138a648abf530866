import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stillhouse.errors import UsageError
from tests.reporting.markup import parsed
from tests.reporting.runs import compare, write


def scores_of(folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return scores


def test_runs_stand_side_by_side_in_the_order_given(digits: Path, breast_cancer: Path, tmp_path: Path) -> None:
    page = parsed(compare([breast_cancer, digits], tmp_path / "compare.html"))
    row = page.row("Distilled: accuracy")
    for cell, folder in zip(row[1:], (breast_cancer, digits), strict=True):
        accuracy = scores_of(folder)["models"]["distilled"]["measures"]["accuracy"]["value"]
        assert cell.startswith(f"{100 * accuracy:.1f} %")


def test_the_headline_of_each_run_is_drawn(digits: Path, breast_cancer: Path, tmp_path: Path) -> None:
    page = parsed(compare([digits, breast_cancer], tmp_path / "compare.html"))
    for folder in (digits, breast_cancer):
        value = scores_of(folder)["comparisons"][0]["difference"]["value"]
        assert page.row(f"{folder.name} against labels only")[2].replace("−", "-") == f"{100 * value:+.1f}"
        assert scores_of(folder)["sentence"].split(" (")[0] in page.text


def test_only_the_settings_that_differ_are_listed(digits: Path, breast_cancer: Path, tmp_path: Path) -> None:
    page = parsed(compare([digits, breast_cancer], tmp_path / "compare.html"))
    assert page.row("data.name") == ["data.name", "digits", "breast_cancer"]
    assert "training.steps" not in page.text


def test_runs_on_other_rows_are_called_incomparable_and_runs_on_the_same_are_not(
    digits: Path, breast_cancer: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(digits, tmp_path / "copy"))
    assert "Before you compare" in parsed(compare([digits, breast_cancer], tmp_path / "a.html")).text
    assert "Before you compare" not in parsed(compare([digits, copy], tmp_path / "b.html")).text


def test_runs_of_one_name_are_told_apart_by_their_paths(digits: Path, tmp_path: Path) -> None:
    twin = Path(shutil.copytree(digits, tmp_path / "other" / digits.name))
    text = parsed(compare([digits, twin], tmp_path / "compare.html")).text
    assert str(digits) in text
    assert str(twin) in text


def test_a_link_leads_to_each_run_that_has_a_page(digits: Path, tmp_path: Path) -> None:
    odd = Path(shutil.copytree(digits, tmp_path / "javascript:alert(1)"))
    write(odd)
    page = parsed(compare([odd, odd], tmp_path / "compare.html"))
    assert {a["href"] for a in page.all("a")} == {"./javascript%3Aalert%281%29/report.html"}


def test_one_run_alone_is_not_a_comparison(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two run folders"):
        compare([digits], tmp_path / "compare.html")
