"""Texts go through the whole job: from a CSV to a judged student, its predictions, its export and its report."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stillhouse.cli import main
from stillhouse.pipeline import Run, distill
from stillhouse.recipe import parse
from stillhouse.reporting import write
from tests.reporting.browser import Page
from tests.reporting.markup import Markup

TOPICS = {
    "cellar": "barley malt copper still cask oak spirit yeast mash angel share",
    "garden": "rose soil spade seed bloom hedge worm prune leaf bee compost",
    "harbour": "boat tide rope sail anchor gull quay net salt mast crew",
}
PLAIN = "the a of and in on was with near old some under".split()  # noqa: SIM905


def write_texts(path: Path, rows: int = 360, blank: float = 0.2) -> Path:
    """Texts of six plain words and four of their topic; a fifth of them carry no label."""
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(("text", "label"))
        for number in range(rows):
            topic = list(TOPICS)[number % len(TOPICS)]
            words = [*draw.choice(PLAIN, 6), *draw.choice(TOPICS[topic].split(), 4)]
            out.writerow((" ".join(draw.permutation(words)), "" if draw.random() < blank else topic))
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small transformer teaches a mean of word vectors."""
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("texts")
    table = {
        "data": {"text": str(write_texts(folder / "texts.csv")), "labels": 30, "tokens": 24, "vocabulary": 256},
        "views": {"policy": "words", "count": 2, "strength": 0.1},
        "teacher": {
            "name": "transformer_tiny",
            "labels": "all",
            "settings": {"width": 16, "layers": 1, "heads": 2, "feedforward": 32},
            "training": {"steps": 60, "batch_size": 32, "lr": 1e-2},
        },
        "student": {"name": "static_embedding", "settings": {"width": 8}},
        "training": {"steps": 40, "batch_size": 32, "lr": 3e-2, "seeds": [0, 1], "log_every": 10},
        "evaluation": {"resamples": 200},
        "output": {"dir": str(folder / "run")},
    }
    return distill(parse(table))


@pytest.fixture(scope="module")
def judged(run: Run) -> Run:
    """The same run, judged in full from the command line."""
    assert main(["evaluate", str(run.folder), "--full"]) == 0
    return run


def test_rows_without_a_label_are_the_pool_and_words_carry_the_label(run: Run) -> None:
    saw, models = run.scores["saw"], run.scores["models"]
    assert saw["labels_only"]["labels"] == saw["distilled"]["labels"] == 30
    assert saw["distilled"]["unlabelled"] > saw["all_labels"]["labels"] - 30, "rows that nobody labelled are among them"
    assert models["teacher"]["measures"]["accuracy"]["value"] > 0.9
    assert models["distilled"]["measures"]["accuracy"]["value"] > 0.6, "chance is a third"


def test_a_file_of_texts_is_answered_in_its_order(run: Run, tmp_path: Path) -> None:
    texts = [
        "barley and malt in the old cask",
        "a rose and the compost near the hedge",
        "the rope of the boat, the tide",
    ]
    rows, out = tmp_path / "new.csv", tmp_path / "answers.csv"
    pd.DataFrame({"text": texts * 2}).to_csv(rows, index=False)
    assert main(["predict", str(run.folder), str(rows), "--out", str(out)]) == 0
    answered = pd.read_csv(out)
    probabilities = answered[[f"p_{name}" for name in TOPICS]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(probabilities, run.load().predict_proba(texts * 2), atol=1e-6)
    assert answered["class"].tolist() == [list(TOPICS)[i] for i in probabilities.argmax(1)]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('text\nthe rose\n""\nthe bee\n', "row 1"),
        ('text\n"  "\nthe rose\n', "row 0"),
        (f"text\n{'a' * 200_000}\n", "row 0"),
    ],
    ids=["empty", "blank", "too long"],
)
def test_a_text_that_cannot_be_read_is_named(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, named: str
) -> None:
    rows = tmp_path / "new.csv"
    rows.write_text(content)
    assert main(["predict", str(run.folder), str(rows), "--out", str(tmp_path / "answers.csv")]) == 4
    assert named in capsys.readouterr().err
    assert not (tmp_path / "answers.csv").exists()


def test_the_exported_student_answers_token_ids_as_the_shipped_one_does(run: Run) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = run.load()
    ids = model.encoder.encode([f"the {word} of it" for word in TOPICS["garden"].split()])
    session = runtime.InferenceSession(run.export("onnx"), providers=["CPUExecutionProvider"])
    for rows in (ids, ids[:1]):
        (logits,) = session.run(["logits"], {session.get_inputs()[0].name: rows.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(logits, model(rows).numpy(), atol=1e-4)


def test_in_full_there_is_a_ladder_of_texts_and_a_reason_for_what_is_missing(judged: Run) -> None:
    full = json.loads((judged.folder / "full.json").read_text())
    assert {rung["corruption"] for rung in full["robustness"]} == {"typos", "drops", "swaps"}
    assert [entry["outsiders"] for entry in full["outsiders"]] == ["shuffled letters"]
    ways = full["attribution"]["ways"]
    assert [way["baseline"] for way in ways] == ["word removed", "word masked"]
    for way in ways:
        assert way["pairs"]["ceiling"]["value"] > way["pairs"]["labels_only"]["low"]
        assert way["pairs"]["distilled"]["value"] > 0.2, "both look for the words of the topic"
    by_rung = {(r["corruption"], r["severity"]): r["accuracy"]["distilled"]["value"] for r in full["robustness"]}
    assert by_rung["swaps", 5] == by_rung["swaps", 0], "a mean of word vectors does not know the order of words"
    assert by_rung["drops", 5] < by_rung["drops", 0]


def test_the_report_shows_texts_as_texts(judged: Run, tmp_path: Path) -> None:
    html = write(judged.folder, judged.task).read_text(encoding="utf-8")
    texts = set(pd.read_csv(judged.folder.parent / "texts.csv")["text"])
    quoted = [
        Markup(f"<p>{part}</p>").text for part in re.findall(r"<blockquote[^>]*>(.*?)</blockquote>", html, flags=re.S)
    ]
    assert len(quoted) > 9
    assert {" ".join(text.split()) for text in quoted} <= texts, "marks leave a text as it is"
    moved = re.findall(r"<dt>Words that move the (\w+)</dt><dd>(.*?)</dd>", html, flags=re.S)
    assert {name for name, _ in moved} == {"teacher", "student"}
    words = {word for text in texts for word in text.split()}
    assert {word.strip(" ,") for _, entries in moved for word in re.findall(r"([^<>&]+)&nbsp;", entries)} <= words
    assert [name for name in ("Typos", "Drops", "Swaps") if f"<h3>{name}</h3>" in html] == ["Typos", "Drops", "Swaps"]
    with Page(tmp_path / "profile") as page:
        for width, dark in ((1200, False), (390, True)):
            page.look(width=width, dark=dark)
            page.open(write(judged.folder, judged.task))
            page.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert page.ask("document.documentElement.scrollWidth") <= width
        assert page.complaints == []
