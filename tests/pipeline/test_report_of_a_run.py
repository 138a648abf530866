"""The page of a run judged in full shows what its files say, in a real browser, in both schemes and on a phone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from stillhouse import tasks
from stillhouse.files import write_json
from stillhouse.pipeline import Run
from stillhouse.reporting import write
from tests.reporting.browser import Page
from tests.reporting.markup import Markup, parsed

HOSTILE = "<script>alert(1)</script>"


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def section(folder: Path, anchor: str) -> Markup:
    """One section of the page, written anew."""
    html = write(folder, tasks.get("classification")).read_text(encoding="utf-8")
    return Markup(html.split(f'<section id="{anchor}"')[1].split(">", 1)[1].split("</section>")[0])


def test_the_page_holds_the_figures_of_the_files(judged: Path) -> None:
    pytest.importorskip("captum")
    told: dict[str, Any] = json.loads((judged / "explanation.json").read_text())
    full: dict[str, Any] = json.loads((judged / "full.json").read_text())
    gate = json.loads((judged / "run.json").read_text())["teacher_gate"]["comparison"]
    teacher, handed = section(judged, "teacher"), section(judged, "explanation")
    for label, side in (("Teacher", "teacher"), ("Labels only", "labels_only")):
        assert teacher.row(label)[1] == percent(gate["accuracy"][side])
    assert percent(told["surrogate"]["fidelity"]["value"]) in handed.text
    helped = [f"row {entry['row']}" for entry in told["taught"]["rows"]]
    assert re.findall(r"abelled (row \d+)", handed.text) == helped
    assert len(handed.all("img")) == len(helped)
    methods = {way["method"].capitalize() for way in full["attribution"]["ways"]}
    assert {row[0].split(",")[0].strip() for row in handed.rows} >= methods
    maps = [svg for svg in section(judged, "classes").all("svg") if svg.get("aria-label", "").startswith("Mean prob")]
    assert len(maps) == 3
    robust = section(judged, "robustness")
    assert [h for h in ("Noise", "Blur", "Shift", "Contrast") if h in robust.text] == [
        "Noise",
        "Blur",
        "Shift",
        "Contrast",
    ]
    rungs = [row for row in robust.rows if row[0] in ("Noise", "Blur", "Shift", "Contrast")]
    assert len(rungs) == len(full["robustness"])


def test_a_run_that_was_not_judged_in_full_leaves_the_sections_out(finished: Run) -> None:
    page = parsed(write(finished.folder, tasks.get("classification")))
    assert "robustness" not in {attributes["id"] for attributes in page.all("section")}
    assert "Do they look at the same parts" not in page.text


def test_the_page_fits_a_phone_and_keeps_quiet_in_both_schemes(judged: Path, tmp_path: Path) -> None:
    with Page(tmp_path / "profile") as page:
        for width, dark in ((1200, False), (1200, True), (390, False)):
            page.look(width=width, dark=dark)
            page.open(write(judged, tasks.get("classification")))
            page.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
            assert page.ask("document.documentElement.scrollWidth") <= width
            for anchor in ("teacher", "explanation", "robustness"):
                assert page.ask(f"document.getElementById('{anchor}').getBoundingClientRect().height") > 200
        assert page.complaints == []


def test_hostile_names_in_the_new_files_are_text(judged: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(judged, folder)
    for name in ("explanation.json", "full.json", "run.json"):
        text = (folder / name).read_text()
        told = json.loads(text)
        if name == "explanation.json":
            told["surrogate"]["rules"] = f"|--- {HOSTILE} <= 1\n" + told["surrogate"]["rules"]
            told["taught"]["rows"][0]["label"] = HOSTILE
            told["class_similarity"]["pairs"][0]["true"] = HOSTILE
        elif name == "full.json":
            told["outsiders"][0]["outsiders"] = HOSTILE
        else:
            told["teacher_gate"]["problems"] = [{"finding": HOSTILE, "cure": ""}]
        write_json(folder / name, told)
    with Page(tmp_path / "profile") as page:
        page.look(width=1200)
        page.open(write(folder, tasks.get("classification")))
        assert page.ask("document.scripts.length") == 0
        assert page.complaints == []
        text = page.ask("document.body.textContent")
    assert text.lower().count(HOSTILE) >= 5
