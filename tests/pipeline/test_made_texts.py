"""Made rows of texts, and students that read rows in another way than the teacher or are more than their own net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stillhouse as sh
from stillhouse.pipeline.run.folder import read_json
from stillhouse.recipe import parse
from tests.pipeline.helpers import opened
from tests.pipeline.recipes import TINY, write_recipe


def text_recipe(folder: Path, **over: Any) -> dict[str, Any]:
    """Reviews of two words that count, and an unrelated file."""
    lines = [
        f"{'good nice' if i % 2 else 'bad poor'} w{i % 7} w{i % 11} {'and so on ' * (i % 9)},{i % 2}"
        for i in range(200)
    ]
    (folder / "reviews.csv").write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "other.txt").write_text("one two three four five six\n" * 3, encoding="utf-8")
    data = {"text": str(folder / "reviews.csv"), "tokens": 6, "rows": 40, "labels": 20, "valid": 0.1}
    teacher = {"name": "bag_hashed", "labels": "all", "training": {"steps": 30, "batch_size": 32}}
    made = [{"name": "word_mixture", "count": 24, "file": str(folder / "other.txt")}]
    whole = {
        **TINY,
        "data": data,
        "views": {},
        "teacher": teacher,
        "student": {"name": "static_embedding"},
        "made": made,
    }
    return {**whole, "output": {"dir": str(folder / "run")}, **over}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> sh.Run:
    return sh.distill(text_recipe(tmp_path_factory.mktemp("texts")), verbose=False, accept_teacher=True)


def test_the_page_shows_made_texts_and_no_part_of_it_is_left_out(run: sh.Run) -> None:
    assert not {name for name in read_json(run.folder / "run.json").get("left_out", {}) if " " in name}
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "The rows that were made" in page
    assert "three four five" in page
    assert set(read_json(run.folder / "made" / "made.json")["agreement"]) == {"real", "made"}


def test_all_students_read_texts_alike_whatever_rows_they_see(tmp_path: Path) -> None:
    found = opened(parse(text_recipe(tmp_path)))
    tokens = {arm.name: found.trainer.context_of(arm).data.train.inputs.shape[1] for arm in found.arms}
    assert {"distilled", "distilled_real"} <= set(tokens)
    assert len(set(tokens.values())) == 1
    assert tokens["distilled"] > 6  # the teacher's


@pytest.mark.slow
def test_what_a_method_ships_with_the_student_is_asked_about_made_rows(tmp_path: Path) -> None:
    method = [{"name": "simkd", "weight": 1.0}]
    made = [{"name": "strokes", "count": 40}]
    found = sh.distill(write_recipe(tmp_path, method=method, made=made), verbose=False, accept_teacher=True)
    assert "made" in read_json(found.folder / "made" / "made.json")["agreement"]
