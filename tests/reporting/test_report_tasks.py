"""Runs of every task have one kind of page, and its figures are those of scikit-learn on the same predictions."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, mean_squared_error, r2_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from stillhouse import tasks
from stillhouse.reporting import compare, write, write_curve
from stillhouse.reporting.overview import as_html, as_text, overview, sentences
from stillhouse.reporting.registry import in_folder, together
from tests.reporting import task_runs
from tests.reporting.browser import Page
from tests.reporting.markup import Markup, parsed

SHARED = {"table", "comparisons", "cost", "gallery", "provenance"}
OWN = {
    "regression": {"predicted", "residuals", "harm", "intervals"},
    "multilabel": {"labels", "calibration", "harm"},
    "embedding": {"nearness"},
}
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A judged run of each task but classification."""
    root = tmp_path_factory.mktemp("tasks")
    return {name: getattr(task_runs, name)(root / name) for name in OWN}


def page_of(folder: Path, task: str) -> Markup:
    return parsed(write(folder, tasks.get(task)))


def arrays(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "predictions.npz") as file:
        return {name: file[name] for name in file.files}


def students(held: dict[str, np.ndarray], arm: str) -> list[np.ndarray]:
    return [values.astype(np.float64) for name, values in held.items() if name.startswith(f"{arm}/")]


def shares(*values: float) -> list[str]:
    return [f"{100 * value:.1f} %" for value in values]


@pytest.mark.parametrize("task", list(OWN))
def test_every_task_has_the_shared_sections_and_its_own(runs: dict[str, Path], task: str) -> None:
    page = page_of(runs[task], task)
    assert {attributes["id"] for attributes in page.all("section")} == SHARED | OWN[task]
    assert {link["href"][1:] for link in page.all("a")} == SHARED | OWN[task]


@pytest.mark.parametrize("task", list(OWN))
def test_the_header_names_run_date_task_teacher_and_student(runs: dict[str, Path], task: str) -> None:
    head = page_of(runs[task], task).text[:160]
    for words in (task, "Date 2026-11-30", f"Task {task}", "Teacher forest", "Student net", "Seeds 3"):
        assert words in head


def test_the_table_of_a_regression_is_what_scikit_learn_computes(runs: dict[str, Path]) -> None:
    held = arrays(runs["regression"])
    row = next(r for r in page_of(runs["regression"], "regression").rows if len(r) == 10 and "Distilled" in r[0])
    nets = students(held, "distilled")
    assert (
        row[1]
        .replace("\xa0", " ")
        .startswith(shares(float(np.mean([r2_score(held["targets"], net) for net in nets])))[0])
    )
    # The root of the mean over the rows, then the mean over the seeds, in the user's units with four digits.
    errors = [mean_squared_error(held["targets"], net) ** 0.5 for net in nets]
    assert row[2].split()[0] == f"{np.mean(errors):.2f}"


def test_each_test_row_is_a_dot_of_the_teacher_the_control_and_the_student(runs: dict[str, Path]) -> None:
    page = page_of(runs["regression"], "regression")
    dots = [path["d"].count("h0") for path in page.all("path") if path["class"].endswith(" dots")]
    assert sum(dots) == 3 * len(arrays(runs["regression"])["targets"])


def test_residuals_are_prediction_less_truth(runs: dict[str, Path]) -> None:
    held = arrays(runs["regression"])
    page = page_of(runs["regression"], "regression")
    start = next(i for i, row in enumerate(page.rows) if row[:3] == ["Model", "Mean", "5 %".replace(" ", "\xa0")])
    shown = {" ".join(row[0].split()): row[1:] for row in page.rows[start + 1 : start + 4]}
    for label, arm in (("Teacher", "teacher"), ("Labels only", "labels_only"), ("Distilled", "distilled")):
        errors = np.concatenate([net - held["targets"] for net in students(held, arm)])
        expected = [errors.mean(), *np.percentile(errors, (5, 25, 50, 75, 95))]
        read = [float(text.replace("−", "-")) for text in shown[label]]
        assert read == pytest.approx(expected, abs=0.051)


def test_coverage_counts_the_test_rows_inside_the_intervals(runs: dict[str, Path]) -> None:
    held, folder = arrays(runs["regression"]), runs["regression"]
    widths = json.loads((folder / "scores.json").read_text())["models"]["distilled"]["intervals"]["half_widths"]
    inside = [
        (np.abs(held[f"distilled/{seed}"] - held["targets"]) <= half["progression"]).mean()
        for seed, half in widths.items()
    ]
    page = page_of(folder, "regression")
    row = [row for row in page.rows if len(row) == 3 and "Distilled" in row[0]][-1]
    assert row[1].split()[0] == shares(float(np.mean(inside)))[0].split()[0]


def test_several_targets_have_charts_and_figures_each(tmp_path: Path) -> None:
    page = page_of(task_runs.regression(tmp_path / "two", targets=2), "regression")
    assert page.row("Distilled: thickness")
    assert page.text.count("Residuals of progression against") == 1
    dots = [svg["aria-label"] for svg in page.all("svg") if svg.get("aria-label", "").startswith("Predicted against")]
    assert len(dots) == 6


def test_every_label_has_the_area_and_the_f1_that_scikit_learn_computes(runs: dict[str, Path]) -> None:
    held, page = arrays(runs["multilabel"]), page_of(runs["multilabel"], "multilabel")
    targets = held["targets"]
    for k in range(targets.shape[1]):
        row = page.row(f"topic {k}")
        arms = ("teacher", "labels_only", "distilled")
        areas = [np.mean([roc_auc_score(targets[:, k], n[:, k]) for n in students(held, arm)]) for arm in arms]
        f1 = [np.mean([f1_score(targets[:, k], n[:, k] >= 0) for n in students(held, arm)]) for arm in arms]
        figures = shares(float(targets[:, k].mean()), *map(float, areas), *map(float, f1))
        assert row[1:] == [str(int(targets[:, k].sum())), *figures]


def test_a_card_of_an_embedder_counts_the_neighbours_that_both_have(runs: dict[str, Path]) -> None:
    held, page = arrays(runs["embedding"]), page_of(runs["embedding"], "embedding")
    found = []
    for name in ("teacher/-", "distilled/0"):
        near = NearestNeighbors(n_neighbors=11, metric="cosine").fit(held[name]).kneighbors(held[name][:5])[1]
        found.append([set(row) - {i} for i, row in enumerate(near)])
    counts = [len(ours & theirs) for ours, theirs in zip(*found, strict=True)]
    assert re.findall(r"(\d+) of the teacher’s 10 nearest", page.text) == [str(count) for count in counts]
    assert "Category 'oak'." in page.text


@pytest.mark.parametrize("task", list(OWN))
def test_hostile_names_of_targets_and_labels_are_text(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    kinds: list[list[str]] = []
    for name in (HOSTILE, "harmless"):
        folder = Path(shutil.copytree(runs[task], tmp_path / f"{task} {len(kinds)}"))
        scores = json.loads((folder / "scores.json").read_text())
        old = scores["classes"][0]
        text = json.dumps(scores).replace(json.dumps(old), json.dumps(name))
        (folder / "scores.json").write_text(text)
        page = page_of(folder, task)
        kinds.append([tag for tag, _ in page.tags])
        assert name in page.text
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("task", list(OWN))
def test_the_terminal_shows_one_line_for_each_arm(runs: dict[str, Path], task: str) -> None:
    scores = json.loads((runs[task] / "scores.json").read_text())
    shown = overview(scores, tasks.get(task))
    lines = {label: cells for label, cells, _ in shown.rows}
    control = tasks.get(task).controls[scores["comparisons"][0]["b"]]
    assert next(iter(lines)) == "Teacher"
    assert {control.label, "Distilled"} <= set(lines)
    headline = scores["models"]["distilled"]["measures"][scores["comparisons"][0]["measure"]]["value"]
    assert lines["Distilled"][1].startswith(shares(headline)[0])
    for text in (as_text(shown), as_html(shown)):
        for label, cells in lines.items():
            assert label in text
            assert all(cell in text for cell in cells), "nothing is cut"
    said = sentences(scores, tasks.get(task))
    words = {"better": "BETTER", "non_inferior": "NO WORSE WITHIN 1 POINT", "inconclusive": "CANNOT TELL"}
    assert said[1] == f"{words[scores['verdict']]}: {scores['sentence']}"


def test_runs_of_different_tasks_are_not_set_on_one_axis(runs: dict[str, Path], tmp_path: Path) -> None:
    names = ["regression", "multilabel"]
    out = compare([runs[n] for n in names], [tasks.get(n) for n in names], tmp_path / "compare.html")
    page = parsed(out)
    assert "judged by different measures" in page.text
    assert [row[0].strip() for row in page.rows if "against labels only" in row[0]] == [
        "regression against labels only"
    ]


def test_a_curve_shows_each_point_with_its_gain(tmp_path: Path) -> None:
    figures = [{"value": v, "low": v - 0.02, "high": v + 0.02} for v in (0.31, 0.44)]
    points = [
        {"labels": n, "folder": f"labels-{n}", "gain": gain, "verdict": verdict, "margin": 0.01, "unlabelled": 900 - n,
         "measure": "r2", "models": {"labels_only": figures[0], "distilled": figures[1]}}
        for n, verdict, gain in ((50, "better", figures[0]), (100, "inconclusive", figures[1]))
    ]  # fmt: skip
    (tmp_path / "curve.json").write_text(
        json.dumps({"confidence": 0.95, "command": "stillhouse curve", "labels": points})
    )
    page = parsed(write_curve(tmp_path, tasks.get("regression")))
    assert page.row("50 labels")[2:] == ["+31.0", "+29.0 to +33.0", "better"]
    assert page.row("100 labels")[4] == "cannot tell"
    row = next(r for r in page.rows if r[0] == "100")
    assert [" ".join(cell.split()) for cell in row[2:4]] == ["31.0 % 29.0 to 33.0", "44.0 % 42.0 to 46.0"]


def test_a_new_section_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new_sections"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "one.py").write_text(
        "from stillhouse.task import Section\n"
        "SECTION = Section('new', 'New', lambda run: {'n': '<b>'}, '<p>{{ it.n }}</p>', order=15)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = in_folder("new_sections", [str(folder)])
    anchors = [section.anchor for section in together(own)]
    assert anchors.index("table") < anchors.index("new") < anchors.index("comparisons")


@pytest.mark.slow
@pytest.mark.parametrize("task", list(OWN))
def test_on_a_phone_no_table_of_figures_is_cut(runs: dict[str, Path], task: str, tmp_path: Path) -> None:
    path = write(runs[task], tasks.get(task))
    with Page(tmp_path / "profile") as page:
        for dark in (False, True):
            page.look(width=390, dark=dark)
            page.open(path)
            page.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert page.ask("document.documentElement.scrollWidth") <= 390
            wide = "[...document.querySelectorAll('table.figures')].map(t => t.parentElement)"
            assert page.ask(f"{wide}.filter(s => s.scrollWidth > s.clientWidth).length") == 0
            beyond = (
                "[...document.querySelectorAll('table.figures td')].filter(c => c.getBoundingClientRect().right > 391)"
            )
            assert page.ask(f"{beyond}.length") == 0
        assert page.complaints == []
