"""TF-IDF as a teacher, or beside one: fitted in the run to the labels, it reads whole texts and answers out of fold."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.pipeline.distill import Distillation
from stillhouse.pipeline.teacher.answers import answers_of
from stillhouse.recipe import parse
from stillhouse.task import TEACHER

TOKENS = 12  # that the net reads; the words that tell come later
ENDS = {"cellar": "cask oak spirit barley", "harbour": "anchor gull quay tide"}
PLAIN = "the a of and in on was with near old some under".split()  # noqa: SIM905


def write_texts(path: Path, *, told: bool, rows: int = 240) -> Path:
    """Texts of two topics with the same words at the start; ``told``: and words of the topic at the end."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("text", "label"))
        for number in range(rows):
            topic = list(ENDS)[number % 2]
            end = ENDS[topic] if told else " ".join(ENDS.values())
            out.writerow((" ".join([*draw.choice(PLAIN, 30), *draw.choice(end.split(), 6)]), topic))
    return path


def recipe(folder: Path, teacher: dict[str, Any], *, told: bool = True) -> dict[str, Any]:
    return {
        "data": {
            "text": str(write_texts(folder / "texts.csv", told=told)),
            "labels": 40,
            "valid": 0.2,
            "tokens": TOKENS,
            "vocabulary": 200,
        },
        "teacher": teacher,
        "student": {"name": "tfidf_linear"},
        "training": {"seeds": [0]},
        "controls": {"all_labels": False, "self_trained": False, "simple": False},
        "evaluation": {"resamples": 100},
        "output": {"dir": str(folder / "run")},
    }


def right(run: Any, model: str) -> float:
    return float(run.scores["models"][model]["measures"]["accuracy"]["value"])


def clean(run: Any) -> float:
    """The teacher's accuracy on test rows before they are corrupted, as the full evaluation gives it."""
    run.evaluate(full=True, verbose=False)
    rungs = json.loads((run.folder / "full.json").read_text())["robustness"]
    (found,) = {rung["accuracy"][TEACHER]["value"] for rung in rungs if rung["severity"] == 0}
    return float(found)


@pytest.mark.slow
def test_tfidf_beside_a_net_brings_what_stands_where_the_net_does_not_read(tmp_path: Path) -> None:
    net = {"name": "static_embedding", "settings": {"width": 4}, "training": {"steps": 5, "batch_size": 16}}
    both = {"member": [net, {"name": "tfidf_linear", "settings": {"C": 100.0}}]}
    run = sh.distill(recipe(tmp_path, both), accept_teacher=True, verbose=False)
    assert right(run, TEACHER) > 0.95, "the net alone reads nothing that tells"
    assert right(run, "distilled") > 0.95
    tokens = run.record["data"]["tokens"]
    assert tokens["teacher"] == tokens["students"] > TOKENS, "the most that a member reads"
    assert clean(run) == right(run, TEACHER), "corrupted texts are asked about as whole texts"
    assert np.load(run.folder / "gallery.npz")["teacher_spans"].max() > len(" ".join(PLAIN)), "words at the end count"


@pytest.mark.slow
def test_the_full_evaluation_shows_a_function_of_texts_the_whole_text(tmp_path: Path) -> None:
    def teacher(texts: Any) -> Any:
        return np.array(
            [[0.9, 0.1] if any(word in text for word in ENDS["cellar"].split()) else [0.1, 0.9] for text in texts]
        )

    run = sh.distill(recipe(tmp_path, {}), teacher=teacher, accept_teacher=True, verbose=False)
    assert right(run, TEACHER) == 1.0
    assert clean(run) == 1.0


def test_labelled_rows_are_answered_by_a_fit_that_has_not_seen_them(tmp_path: Path) -> None:
    alone = {"name": "tfidf_linear", "settings": {"C": 1000.0}, "folds": 4}
    run = Distillation(parse(recipe(tmp_path, alone, told=False)))  # nothing tells: only memory can be right
    teacher, data = run.teachers[TEACHER].teacher, run.context.data
    labelled = np.flatnonzero(np.isin(data.split.train, data.split.labelled))
    rows, raw = data.train.targets.new_tensor(labelled), run.context.shown(labelled)
    found = answers_of(teacher, run.context.task, data.train.inputs[rows], rows, raw).argmax(1)
    by_heart = answers_of(teacher, run.context.task, data.train.inputs[rows], rows * 0 - 1, raw).argmax(1)
    truth = data.source.targets[data.split.train[labelled]]
    assert (by_heart == truth).mean() > 0.9
    assert (found == truth).mean() < 0.75


@pytest.mark.slow
def test_it_is_refused_for_rows_that_are_no_texts_with_a_teacher_that_reads_them(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("a,b,label\n" + "\n".join(f"{n},{n % 7},{'xy'[n % 2]}" for n in range(120)) + "\n")
    made = recipe(tmp_path, {"name": "tfidf_linear"}) | {"student": {"name": "logistic"}}
    made["data"] = {"path": str(table), "target": "label", "labels": 40, "valid": 0.2}
    with pytest.raises(UsageError, match=r"reads texts, and these rows are none.*`extra_trees`"):
        sh.distill(made, verbose=False)
    made["teacher"] = {"name": "extra_trees"}  # the cure
    assert sh.distill(made, accept_teacher=True, verbose=False).scores
