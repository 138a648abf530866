"""Runs whose data have no labels at all: distilled and told plainly what was not tested; labels may come later."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch
from numpy.typing import NDArray
from PIL import Image

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.errors import RejectedError, UsageError
from stillhouse.task import VERDICTS
from tests.evaluation.schemas import keep_to_schema
from tests.pipeline.test_teachers_of_all_kinds import CLASSES, SURE, texts_of
from tests.teachers.misbehaving_server import Server

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.enable_socket, pytest.mark.slow]
ROWS = texts_of(120)
TRUTH = dict(ROWS)
QUICK: dict[str, Any] = {"steps": 20, "batch_size": 16, "seeds": [0, 1], "workers": 1}
DRAW = np.random.default_rng(0)
X, X_TEST = DRAW.normal(size=(120, 3)).astype(np.float32), DRAW.normal(size=(60, 3)).astype(np.float32)


def up(rows: Any) -> NDArray[np.float64]:
    """A teacher that knows: the sign of the first number, as probabilities."""
    high = 1 / (1 + np.exp(-4 * np.asarray(rows, np.float64).reshape(len(rows), -1)[:, 0]))
    return np.column_stack([1 - high, high])


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over texts without labels, and of its data."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unlabelled")
    lines = ["key,text", *(f"k{number},{text}" for number, (text, _) in enumerate(ROWS))]
    (folder / "texts.csv").write_text("\n".join(lines) + "\n")
    with Server(plan={text: [SURE[label]] for text, label in ROWS}) as server:
        table = {
            "data": {"text": "texts.csv", "classes": list(CLASSES), "test": 0.3, "tokens": 12, "vocabulary": 200},
            "teacher": {"endpoint": {"url": server.url, "model": "m", "api_key_env": ""}},
            "student": {"name": "static_embedding"},
            "training": QUICK,
            "evaluation": {"resamples": 200},
            "output": {"dir": str(folder / "run")},
        }
        (folder / "recipe.toml").write_text(tomli_w.dumps(table))
        assert main(["distill", str(folder / "recipe.toml")]) == 0
        assert server.asked == dict.fromkeys(TRUTH, 1)
        assert main(["distill", str(folder / "recipe.toml")]) == 0
        assert server.asked == dict.fromkeys(TRUTH, 1)
    return folder


@pytest.fixture
def run(judged: Path, tmp_path: Path) -> Path:
    """A copy of the run, to judge again."""
    return Path(shutil.copytree(judged / "run", tmp_path / "run"))


def scores_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "scores.json").read_text())
    return found


def rows_of_test(run: Path) -> list[str]:
    with np.load(run / "predictions.npz") as file:
        return [ROWS[int(row)][0] for row in file["rows"]]


def right(run: Path, texts: list[str]) -> float:
    """The accuracy of the student on some test rows, from its outputs and the truth."""
    with np.load(run / "predictions.npz") as file:
        places = [i for i, row in enumerate(file["rows"]) if ROWS[int(row)][0] in texts]
        truth = [CLASSES.index(TRUTH[ROWS[int(file["rows"][i])][0]]) for i in places]
        return float(np.mean([(file[f"distilled/{seed}"][places].argmax(1) == truth).mean() for seed in (0, 1)]))


def labels_file(folder: Path, texts: list[str], column: str = "text") -> Path:
    keys = texts if column == "text" else [f"k{[t for t, _ in ROWS].index(text)}" for text in texts]
    lines = [f"{column},label", *(f"{key},{TRUTH[text]}" for key, text in zip(keys, texts, strict=True))]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def test_a_run_without_labels_says_that_nothing_was_tested_and_what_labels_would_tell(judged: Path) -> None:
    scores = scores_of(judged / "run")
    assert scores["verdict"] == "untested"
    assert scores["sentence"].startswith("Nothing was tested against true labels: none of the 36 test rows has one.")
    assert scores["comparisons"] == []
    assert set(scores["models"]) == {"teacher", "distilled", "simple_distilled"}
    assert scores["saw"]["distilled"] == {"labels": 0, "unlabelled": 76, "teacher": "teacher"}
    with np.load(judged / "run" / "predictions.npz") as file:
        teacher = file["teacher/-"].argmax(1)
        agreement = np.mean([(file[f"distilled/{seed}"].argmax(1) == teacher).mean() for seed in (0, 1)])
        assert (file["targets"] == -1).all()
    assert scores["models"]["distilled"]["measures"]["agreement"]["value"] == pytest.approx(agreement)
    assert f"{100 * agreement:.1f} %" in scores["sentence"]
    assert set(scores["models"]["teacher"]["measures"]) == set()
    assert "teacher_right" not in json.dumps(scores)
    keep_to_schema("classification", scores)
    assert any("stillhouse evaluate RUN --labels FILE" in warning for warning in scores["warnings"])


def test_its_page_and_its_table_pretend_no_comparison(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (judged / "run" / "report.html").read_text()
    assert "hardly moves the student" not in page  # there was no label loss whose weight could be raised
    assert "not tested" in page
    assert not re.search(r"cannot tell|Confusion|Calibration|\bnan\b|Labels only</", page)
    assert main(["evaluate", str(judged / "run")]) == 0
    said = capsys.readouterr().out
    assert "NOT TESTED: Nothing was tested" in said
    assert sh.Run(judged / "run").verdict == "untested"


def test_later_labels_of_all_test_rows_complete_the_verdict(run: Path, tmp_path: Path) -> None:
    texts = rows_of_test(run)
    assert main(["evaluate", str(run), "--labels", str(labels_file(tmp_path, [t for t, _ in ROWS]))]) == 0
    scores = scores_of(run)
    assert scores["verdict"] in VERDICTS
    assert [(c["a"], c["b"], c["asks"]) for c in scores["comparisons"]] == [
        ("distilled", "teacher", "loss"),
        ("distilled", "simple_distilled", "gain"),
    ]
    assert scores["models"]["distilled"]["measures"]["accuracy"]["value"] == pytest.approx(right(run, texts))
    assert scores["models"]["teacher"]["measures"]["accuracy"]["value"] == 1.0
    keep_to_schema("classification", scores)
    assert any("no student was trained on labels alone" in warning for warning in scores["warnings"])
    page = (run / "report.html").read_text()
    assert "Nothing was tested" not in page
    assert "Confusion" in page
    assert main(["evaluate", str(run)]) == 0
    assert scores_of(run)["verdict"] == scores["verdict"]


def test_labels_of_a_part_are_judged_alone(run: Path, tmp_path: Path) -> None:
    texts = rows_of_test(run)[:15]
    assert main(["evaluate", str(run), "--labels", str(labels_file(tmp_path, texts))]) == 0
    scores = scores_of(run)
    assert scores["test_rows"] == 15
    assert scores["models"]["distilled"]["measures"]["accuracy"]["value"] == pytest.approx(right(run, texts))
    assert scores["warnings"][0].startswith("15 of 36 test rows have a label")
    more = rows_of_test(run)[15:20]
    assert main(["evaluate", str(run), "--labels", str(labels_file(tmp_path, more))]) == 0
    assert scores_of(run)["test_rows"] == 20


@pytest.mark.parametrize("more", [[], ["--id", "key"]])
def test_rows_are_matched_by_an_id_column(run: Path, tmp_path: Path, more: list[str]) -> None:
    texts = rows_of_test(run)[5:25]
    assert main(["evaluate", str(run), "--labels", str(labels_file(tmp_path, texts, "key")), *more]) == 0
    scores = scores_of(run)
    assert scores["test_rows"] == 20
    assert scores["models"]["distilled"]["measures"]["accuracy"]["value"] == pytest.approx(right(run, texts))


def test_labels_come_as_a_frame_a_mapping_or_a_list_too(run: Path) -> None:
    texts = rows_of_test(run)
    frame = pd.DataFrame(
        {"class": [TRUTH[t] for t in texts[:10]], "text": [f"  {t}\n" for t in texts[:10]]}, range(5, 15)
    )
    frame.loc[5, "class"] = None
    assert sh.evaluate(run, labels=frame)["test_rows"] == 9
    assert sh.evaluate(run, labels={text: TRUTH[text] for text in texts[10:12]})["test_rows"] == 11
    scores = sh.Run(run).evaluate(labels=[label if number % 2 else None for number, (_, label) in enumerate(ROWS)])
    half = {text for number, (text, _) in enumerate(ROWS) if number % 2} & set(texts)
    assert scores["test_rows"] == len(half | set(texts[1:12]))


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        ({"never seen": "good"}, RejectedError, "none of the 1 labels"),
        ({ROWS[0][0]: "fine"}, RejectedError, "'fine'"),
        (["good"] * 7, UsageError, "7 labels, but 120"),
        (pd.DataFrame({"text": ["a"], "one": ["good"], "two": ["bad"]}), UsageError, "which column holds the labels"),
        (pd.DataFrame({"number": [1], "label": ["good"]}), UsageError, "by which column"),
        (Path("nowhere.csv"), RejectedError, "nowhere.csv"),
    ],
)
def test_labels_that_fit_no_row_are_refused_and_change_nothing(
    run: Path, labels: Any, error: type[Exception], match: str
) -> None:
    before = (run / "predictions.npz").read_bytes()
    with pytest.raises(error, match=match):
        sh.evaluate(run, labels=labels)
    assert (run / "predictions.npz").read_bytes() == before
    assert sh.Run(run).verdict == "untested"


def test_two_labels_of_one_row_are_refused_with_both_rows(run: Path) -> None:
    text = rows_of_test(run)[0]
    with pytest.raises(RejectedError, match="rows 0 and 2"):
        sh.evaluate(
            run, labels=pd.DataFrame({"text": [text, rows_of_test(run)[1], text], "label": ["good", "bad", "bad"]})
        )


def test_the_full_evaluation_says_why_it_is_not_made(run: Path) -> None:
    assert main(["evaluate", str(run), "--full"]) == 0
    assert json.loads((run / "full.json").read_text())["why"]


def test_a_gate_is_not_met_by_what_was_not_tested(judged: Path, tmp_path: Path) -> None:
    (tmp_path / "gate.toml").write_text('min_verdict = "worse"\nmax_loss = 0.5\n')
    found = {c.name: c.passed for c in sh.check(judged / "run", tmp_path / "gate.toml")}
    assert found == {"min_verdict": False, "max_loss": False}


def test_what_ships_answers_with_the_declared_classes(judged: Path) -> None:
    answers = sh.load(judged / "run").predict([text for text, _ in ROWS[:20]])
    assert set(answers) <= set(CLASSES)


def plain(out: Path, **over: Any) -> dict[str, Any]:
    table: dict[str, Any] = {
        "data": {"classes": ["low", "high"]},
        "student": {"name": "mlp_tiny"},
        "training": QUICK,
        "evaluation": {"resamples": 100},
        "output": {"dir": str(out)},
    }
    return {**table, **{key: {**table.get(key, {}), **value} for key, value in over.items()}}


@pytest.mark.parametrize("valid", [None, X[:20]])
@pytest.mark.parametrize("frames", [False, True])
def test_arrays_and_frames_from_python_without_labels(tmp_path: Path, valid: Any, frames: bool) -> None:
    def form(rows: Any) -> Any:
        return pd.DataFrame(rows, columns=["a", "b", "c"]) if frames and rows is not None else rows

    run = sh.distill(plain(tmp_path / "run"), teacher=up, data=(form(X), form(valid), form(X_TEST)), verbose=False)
    assert run.verdict == "untested"
    truth = np.where(X_TEST[:, 0] > 0, "high", "low")
    scores = run.evaluate(labels=truth.tolist())
    assert scores["models"]["teacher"]["measures"]["accuracy"]["value"] == 1.0
    with np.load(run.folder / "predictions.npz") as file:
        assert [("low", "high")[t] for t in file["targets"]] == truth.tolist()


def test_labelled_validation_rows_do_not_make_up_for_a_student_trained_on_labels(tmp_path: Path) -> None:
    valid, test = ((rows, np.where(rows[:, 0] > 0, "high", "low")) for rows in (X[:20], X_TEST))
    run = sh.distill(plain(tmp_path / "run"), teacher=up, data=(X[20:], valid, test), verbose=False)
    (said,) = (text for text in run.scores["warnings"] if "It was not checked whether the teacher is better" in text)
    assert said.endswith("no student was trained on labels alone to compare it with.")


def test_a_table_and_arrays_in_files_without_labels(tmp_path: Path) -> None:
    pd.DataFrame(X, columns=["a", "b", "c"]).assign(row=[f"r{i}" for i in range(120)]).to_csv(
        tmp_path / "t.csv", index=False
    )
    np.savez(tmp_path / "t.npz", x=X)
    table = sh.distill(
        plain(tmp_path / "table", data={"path": str(tmp_path / "t.csv"), "drop": ["row"]}), teacher=up, verbose=False
    )
    arrays = sh.distill(plain(tmp_path / "arrays", data={"arrays": str(tmp_path / "t.npz")}), teacher=up, verbose=False)
    assert {table.verdict, arrays.verdict} == {"untested"}
    truth = np.where(X[:, 0] > 0, "high", "low")
    inputs = pd.read_csv(tmp_path / "t.csv")
    for labels in (inputs.assign(label=truth), pd.DataFrame({"row": inputs["row"], "label": truth})):
        again = sh.Run(Path(shutil.copytree(table.folder, tmp_path / f"copy{len(labels.columns)}")))
        assert again.evaluate(labels=labels)["models"]["teacher"]["measures"]["accuracy"]["value"] == 1.0
    assert arrays.evaluate(labels=truth)["models"]["teacher"]["measures"]["accuracy"]["value"] == 1.0


def test_pictures_without_labels_get_them_by_the_names_of_their_files(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    truth = ["high" if number % 2 else "low" for number in range(60)]
    for number, label in enumerate(truth):
        pixels = np.full((8, 8), 200 if label == "high" else 50, np.uint8) + DRAW.integers(0, 20, (8, 8), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number:02d}.png")
    run = sh.distill(
        plain(tmp_path / "run", data={"images": str(tmp_path / "images")}, student={"name": "cnn_tiny"}),
        teacher=lambda rows: up(np.asarray(rows, np.float64).reshape(len(rows), -1) / 255 - 0.5),
        verbose=False,
    )
    assert run.verdict == "untested"
    files = [f"{number:02d}.png" for number in range(60)]
    scores = run.evaluate(labels=pd.DataFrame({"file": files, "label": truth}))
    assert scores["models"]["teacher"]["measures"]["accuracy"]["value"] == 1.0


def test_groups_and_a_tree_of_a_table_without_labels(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(site=["n" if i % 3 else "s" for i in range(120)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = plain(
        tmp_path / "run",
        data={"path": str(tmp_path / "t.csv"), "test": 0.4},
        student={"name": "decision_tree"},
        evaluation={"groups": ["site"], "measure": "balanced_accuracy"},
    )
    run = sh.distill(table, teacher=lambda rows: up(rows[["a", "b", "c"]].to_numpy()), verbose=False)
    assert run.verdict == "untested"
    scores = run.evaluate(labels=frame.assign(label=np.where(X[:, 0] > 0, "high", "low")).iloc[:90])
    assert scores["comparisons"][0]["measure"] == "balanced_accuracy"
    assert set(scores["models"]["distilled"]["harm"]["against"]["teacher"]) == {"classes", "group:site"}


def test_several_labels_a_row_without_any(tmp_path: Path) -> None:
    run = sh.distill(
        plain(tmp_path / "run", task={"name": "multilabel"}),
        teacher=lambda rows: np.column_stack([up(rows)[:, 1], up(-np.asarray(rows))[:, 1]]),
        data=(X, None, X_TEST),
        verbose=False,
    )
    assert run.verdict == "untested"
    keep_to_schema("multilabel", run.scores)
    page = run.report_path.read_text()
    assert not re.search(r"Calibration|No label is true|\bnan\b", page)
    scores = run.evaluate(labels=np.column_stack([X_TEST[:, 0] > 0, X_TEST[:, 0] <= 0]).astype(int))
    assert scores["verdict"] in VERDICTS
    assert scores["models"]["teacher"]["measures"]["micro_f1"]["value"] == 1.0


@pytest.mark.parametrize(
    ("over", "given", "match"),
    [
        ({"teacher": {"name": "random_forest"}}, {}, "would be trained here"),
        ({"controls": {"same_teacher": True}}, {"teacher": up}, "same_teacher"),
        ({"training": {"keep": "best"}}, {"teacher": up}, "keep"),
        ({}, {"teacher": up, "method": "dkd"}, "'dkd' uses labels"),
        ({"teacher": {"calls": 50, "ask": "entropy"}}, {"teacher": up}, "ask"),
        ({"data": {"labels": 5}}, {"teacher": up}, "labels = 5, but no training row"),
        ({"teacher": {"combine": "confidence"}}, {"teacher": [up, up]}, "confidence"),
    ],
)
def test_what_needs_labels_is_refused_before_anything_starts(
    tmp_path: Path, over: dict[str, Any], given: dict[str, Any], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        sh.distill(plain(tmp_path / "run", **over), data=(X, None, X_TEST), verbose=False, **given)
    assert not (tmp_path / "run" / "run.json").exists()


def test_without_classes_the_error_names_the_line_that_cures_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text\n" + "\n".join(text for text, _ in ROWS))
    with pytest.raises(UsageError, match=r"classes = \["):
        sh.distill({"output": {"dir": str(tmp_path / "a")}}, data={"text": str(tmp_path / "t.csv")}, teacher=len)
    for data in ((X, None, X_TEST), ((X, [None] * 120), None, (X_TEST, np.full(60, np.nan)))):
        with pytest.raises(RejectedError, match=r"classes = \["):
            sh.distill(plain(tmp_path / "b") | {"data": {}}, data=data, teacher=up, verbose=False)


def test_a_column_that_holds_the_classes_is_not_overlooked(tmp_path: Path) -> None:
    lines = ["text,mood", *(f"{text},{label}" for text, label in ROWS)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(UsageError, match='target = "mood"'):
        sh.distill(
            {"output": {"dir": str(tmp_path / "a")}},
            data={"text": str(tmp_path / "t.csv"), "classes": list(CLASSES)},
            teacher=len,
        )


@pytest.mark.parametrize("content", ["one\n", "text\n", "\ufefftext\n"])
def test_a_file_of_texts_alone_has_no_labels_whatever_its_first_line(tmp_path: Path, content: str) -> None:
    from stillhouse.data import read
    from stillhouse.tasks.classification.targets import read_targets

    (tmp_path / "t.txt").write_text(content + "\n".join(f"{text}" for text, _ in ROWS[:30]), encoding="utf-8")
    source = read(read_targets=read_targets, text=tmp_path / "t.txt", classes=CLASSES)
    assert not source.known.any()
    assert len(source) in (30, 31)
