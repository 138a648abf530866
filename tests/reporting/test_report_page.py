import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from stillhouse.errors import DamagedError, UsageError
from tests.reporting.markup import parsed
from tests.reporting.runs import write

CSS = files("stillhouse.reporting") / "templates" / "style.css"


@pytest.fixture
def folder(digits: Path, tmp_path: Path) -> Path:
    """A copy of the run on digits that a test may spoil."""
    return Path(shutil.copytree(digits, tmp_path / "run"))


def scores_of(folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return scores


def test_the_verdict_comes_first_and_right_after_it_who_saw_how_many_labels(digits: Path) -> None:
    page, scores = parsed(write(digits)), scores_of(digits)
    head = page.text[:900]
    finding = scores["sentence"].split(" (")[0]
    labels = {arm: scores["saw"][arm]["labels"] for arm in ("teacher", "distilled")}
    told = f"The teacher had more labels than the student: {labels['teacher']:,} against {labels['distilled']:,}."
    assert head.index(scores["verdict"]) < head.index(finding) < head.index(told)
    assert page.text.index(told) < page.text.index("The models")


def test_the_table_holds_the_figures_of_scores_json(digits: Path) -> None:
    page, scores = parsed(write(digits)), scores_of(digits)
    for name, arm in (("Teacher", "teacher"), ("Labels only", "labels_only"), ("Distilled", "distilled")):
        model = scores["models"][arm]
        row = next(r for r in page.rows if len(r) == 7 and r[0].strip() == name)
        accuracy = model["measures"]["accuracy"]
        low_high = f"{100 * accuracy['low']:.1f} to {100 * accuracy['high']:.1f}"
        assert " ".join(row[1].split()) == f"{100 * accuracy['value']:.1f} % {low_high}"
        assert row[2].split()[0] == f"{model['measures']['nll']['value']:.3f}"
        assert row[4] == f"{model['parameters']:,}"


def test_every_comparison_is_drawn_with_its_interval_and_word(digits: Path) -> None:
    page, scores = parsed(write(digits)), scores_of(digits)
    for entry in scores["comparisons"]:
        row = page.row(f"Distilled against {entry['b'].replace('_', ' ')}")
        assert row[2].replace("−", "-") == f"{100 * entry['difference']['value']:+.1f}".replace("+0.0", "0.0").replace(
            "-0.0", "0.0"
        )
        words = {"better": "better", "worse": "worse", "non_inferior": "no worse within 1 point"}
        assert row[4] == words.get(entry["verdict"], "cannot tell")


def test_the_header_says_which_run_it_is(digits: Path) -> None:
    head = parsed(write(digits)).text[:160]
    assert head.startswith(
        "Stillhouse · digits Date 2026-11-30 Task classification Data digits Teacher extra_trees Student mlp_tiny"
    )


def test_no_line_is_broken_between_a_number_and_its_per_cent_sign(digits: Path) -> None:
    html = write(digits).read_text(encoding="utf-8")
    flowing = re.sub(r"<(style|svg|pre|title)\b.*?</\1>", "", html, flags=re.S)
    assert "\N{NO-BREAK SPACE}%" in flowing
    assert not re.search(r"\d\s*%", flowing.replace("\N{NO-BREAK SPACE}%", ""))


def test_the_worst_class_is_named_in_quotes_with_its_measure(digits: Path) -> None:
    page, worst = parsed(write(digits)), scores_of(digits)["models"]["distilled"]["harm"]["worst"]["classes"]
    figure = f"{100 * worst['value']:.1f} %"
    assert f"Worst class of the distilled student: '{worst['name']}', accuracy {figure}" in page.text


def test_numbers_below_zero_have_a_true_minus(digits: Path) -> None:
    page = parsed(write(digits))
    written = re.sub(re.escape((digits / "recipe.toml").read_text()), "", " ".join(page.texts))
    assert "−" in written
    assert re.findall(r"(?<![\w.-])-\d", written) == []


@pytest.mark.parametrize("kept", ["no lines", "one line an arm"])
def test_training_without_a_curve_has_no_empty_chart(folder: Path, kept: str) -> None:
    lines = [json.loads(text) for text in (folder / "metrics.jsonl").read_text().splitlines()]
    few = [] if kept == "no lines" else [line for line in lines if line["step"] == 20]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in few))
    html = write(folder).read_text(encoding="utf-8")
    if kept == "no lines":
        assert 'id="training"' not in html
    else:
        section = html.split('id="training"')[1].split("</section>")[0]
        assert "<svg" not in section
        assert 'class="grid"' not in section
        assert "hinton" in section


def test_confusion_agrees_with_scikit_learn(digits: Path) -> None:
    page = write(digits).read_text(encoding="utf-8")
    with np.load(digits / "predictions.npz") as file:
        targets, teacher = file["targets"], file["teacher/-"]
    expected = confusion_matrix(targets, teacher.argmax(1))
    shares = expected / expected.sum(1, keepdims=True)
    drawn = re.findall(r"true (\d), predicted (\d): ([\d.]+) %", page)
    assert len(drawn) == 3 * expected.size  # teacher, control and student
    for true, said, share in drawn[: expected.size]:
        assert float(share) == pytest.approx(100 * shares[int(true), int(said)], abs=0.0501)


def test_classes_stand_worst_first(digits: Path) -> None:
    page = parsed(write(digits))
    changes = scores_of(digits)["models"]["distilled"]["harm"]["against"]["teacher"]["classes"]
    start = next(i for i, row in enumerate(page.rows) if row and row[0] == "Class")
    shown = [row[0].strip() for row in page.rows[start + 1 : start + 1 + len(changes)]]
    assert shown == [c["name"] for c in sorted(changes, key=lambda c: c["value"])]


def test_a_gallery_of_images_shows_images_and_one_of_a_table_shows_its_columns(
    digits: Path, breast_cancer: Path
) -> None:
    images = parsed(write(digits)).all("img")
    assert len(images) == len(np.load(digits / "gallery.npz")["rows"])
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in images)
    table = parsed(write(breast_cancer))
    first = np.load(breast_cancer / "gallery.npz")
    assert table.all("img") == []
    assert table.row("mean radius")[1] == f"{first['inputs'][0, 0]:.6g}"


def test_recipe_command_versions_and_hashes_are_shown(digits: Path) -> None:
    page, run = parsed(write(digits)), json.loads((digits / "run.json").read_text())
    assert run["command"] in page.text
    assert " ".join((digits / "recipe.toml").read_text().split()) in page.text
    for value in (*run["versions"].values(), *run["hashes"].values()):
        assert value in page.text


@pytest.mark.parametrize(
    ("absent", "anchor"),
    [("predictions.npz", "confusion"), ("gallery.npz", "gallery"), ("metrics.jsonl", "training"), ("run.json", None),
     ("recipe.toml", None), ("costs.json", None)],
)  # fmt: skip
def test_a_section_whose_file_is_absent_is_left_out(folder: Path, absent: str, anchor: str | None) -> None:
    whole = {a["id"] for a in parsed(write(folder)).all("section")}
    (folder / absent).unlink()
    left = {a["id"] for a in parsed(write(folder)).all("section")}
    gone = {anchor, "gallery"} if absent == "predictions.npz" else {anchor} if anchor else set()
    assert left == whole - gone


@pytest.mark.parametrize(
    "key", ["saw", "models", "comparisons", "seeds", "classes", "costs", "budget", "confidence", "sentence"]
)
def test_a_smaller_scores_json_still_gives_a_page(folder: Path, key: str) -> None:
    scores = scores_of(folder)
    del scores[key]
    (folder / "scores.json").write_text(json.dumps(scores))
    assert "Provenance" in parsed(write(folder)).text


def test_scores_with_nothing_but_a_verdict_give_a_page(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text('{"schema": 1, "verdict": "worse", "sentence": "Distilling did harm."}')
    page = parsed(write(tmp_path))
    assert "worse Distilling did harm" in page.text


def test_figures_that_are_null_are_shown_as_absent(folder: Path) -> None:
    scores = scores_of(folder)
    scores["models"]["distilled"]["measures"]["nll"] = {"value": None, "low": None, "high": None}
    scores["models"]["distilled"]["ms_1"] = None
    (folder / "scores.json").write_text(json.dumps(scores))
    row = next(r for r in parsed(write(folder)).rows if len(r) == 7 and r[0].strip() == "Distilled")
    assert (row[2].strip(), row[5]) == ("–", "–")


def test_the_page_says_on_which_clock_each_net_was_timed(folder: Path) -> None:
    page = parsed(write(folder))
    assert "of one core for the student, and on the wall for the teacher" in page.text


@pytest.mark.parametrize(("there", "command"), [(False, "stillhouse distill"), (True, "stillhouse evaluate")])
def test_an_unjudged_run_is_told_how_to_be_judged(digits: Path, tmp_path: Path, there: bool, command: str) -> None:
    if there:
        shutil.copy(digits / "predictions.npz", tmp_path)
    with pytest.raises(UsageError, match=command):
        write(tmp_path)


def test_scores_of_another_schema_are_refused(folder: Path) -> None:
    (folder / "scores.json").write_text('{"schema": 2}')
    with pytest.raises(UsageError, match="schema 2"):
        write(folder)


@pytest.mark.parametrize(
    "name", ["scores.json", "run.json", "costs.json", "predictions.npz", "gallery.npz", "recipe.toml"]
)
def test_a_damaged_file_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\xff\xfe damaged")
    with pytest.raises(DamagedError, match=re.escape(name)):
        write(folder)


def test_a_truncated_archive_is_named(folder: Path) -> None:
    whole = (folder / "predictions.npz").read_bytes()
    (folder / "predictions.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedError, match=r"predictions\.npz"):
        write(folder)


def test_nothing_is_unpickled(folder: Path) -> None:
    np.savez(folder / "gallery.npz", rows=np.arange(1), inputs=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DamagedError, match=r"gallery\.npz"):
        write(folder)


def test_half_a_line_at_the_end_of_the_metrics_is_passed_over(folder: Path) -> None:
    before = write(folder).read_bytes()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"arm": "distilled", "se')
    assert write(folder).read_bytes() == before


def test_the_same_files_give_the_same_page(digits: Path) -> None:
    assert write(digits).read_bytes() == write(digits).read_bytes()


def test_a_page_that_cannot_be_written_leaves_the_old_one(folder: Path) -> None:
    old = write(folder).read_bytes()
    (folder / "scores.json").write_text('{"schema": 0}')
    with pytest.raises(UsageError):
        write(folder)
    assert (folder / "report.html").read_bytes() == old


def test_the_page_needs_nothing_from_outside_and_its_policy_forbids_it(digits: Path) -> None:
    html = write(digits).read_text(encoding="utf-8")
    page = parsed(digits / "report.html")
    assert not page.all("script")
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"data:image/png;base64,[\w+/=]+", "", html))
    for tag, attributes in page.tags:
        assert "style" not in attributes, tag
        assert not any(name.startswith("on") for name in attributes), tag
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    css = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_headings_pictures_and_links_can_be_followed_without_eyes(name: str, request: pytest.FixtureRequest) -> None:
    page = parsed(write(request.getfixturevalue(name)))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for drawing in page.all("svg"):
        assert drawing.get("aria-hidden") == "true" or (drawing["role"] == "img" and drawing["aria-label"])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    assert {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes} <= set(ids)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2)."""
    lighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_has_aa_contrast_and_marks_can_be_seen(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", CSS.read_text(), flags=re.S)[scheme]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    pairs = ["ink paper", "soft paper", "ink wash", "soft wash", "accent paper", "accent accent-wash"]
    pairs += ["ink accent-wash", "soft accent-wash", "bad bad-wash"]
    for text, ground in map(str.split, pairs):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for mark in ("accent", "bad", "ink", "soft", "reference"):
        assert contrast(colours[mark], colours["paper"]) >= 3.0, mark


def test_importing_the_report_loads_no_template_engine() -> None:
    code = "import sys, stillhouse.reporting; print('jinja2' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
