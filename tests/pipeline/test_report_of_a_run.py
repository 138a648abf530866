"""The page of a run judged in full shows what its files say, in a real browser, in both schemes and on a phone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stillhouse.pipeline import Run
from stillhouse.reporting import write
from stillhouse.reporting.folder import read
from stillhouse.reporting.page import sections
from tests.reporting.browser import Page

HOSTILE = "<script>alert(1)</script>"


def test_the_sections_hold_the_figures_of_the_files(judged: Path) -> None:
    pytest.importorskip("captum")
    shown = sections(read(judged))
    told: dict[str, Any] = json.loads((judged / "explanation.json").read_text())
    full: dict[str, Any] = json.loads((judged / "full.json").read_text())
    gate = json.loads((judged / "run.json").read_text())["teacher_gate"]["comparison"]
    assert [row["accuracy"] for row in shown["gate"]["rows"]] == [
        f"{100 * gate['accuracy'][side]:.1f} %" for side in ("teacher", "labels_only")
    ]
    assert shown["explanation"]["surrogate"]["fidelity"] == f"{100 * told['surrogate']['fidelity']['value']:.1f} %"
    assert len(shown["explanation"]["similarity"]["charts"]) == 3
    assert [card["row"] for card in shown["explanation"]["taught"]["cards"]] == [
        r["row"] for r in told["taught"]["rows"]
    ]
    assert all(card["image"].startswith("data:image/png") for card in shown["explanation"]["taught"]["cards"])
    assert len(shown["explanation"]["attribution"]["rows"]) == len(full["attribution"]["ways"])
    assert [c["title"] for c in shown["robustness"]["charts"]] == ["Noise", "Blur", "Shift", "Contrast"]
    assert len(shown["robustness"]["table"]["rows"]) == len(full["robustness"])
    assert {anchor for anchor, _ in shown["contents"]} >= {"teacher", "explanation", "robustness"}


def test_a_run_that_was_not_judged_in_full_leaves_the_sections_out(finished: Run) -> None:
    shown = sections(read(finished.folder))
    assert shown["robustness"] is None
    assert shown["explanation"]["attribution"] is None
    assert "robustness" not in {anchor for anchor, _ in shown["contents"]}


def test_the_page_fits_a_phone_and_keeps_quiet_in_both_schemes(judged: Path, tmp_path: Path) -> None:
    with Page(tmp_path / "profile") as page:
        for width, dark in ((1200, False), (1200, True), (390, False)):
            page.look(width=width, dark=dark)
            page.open(write(judged))
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
        (folder / name).write_text(json.dumps(told))
    with Page(tmp_path / "profile") as page:
        page.look(width=1200)
        page.open(write(folder))
        assert page.ask("document.scripts.length") == 0
        assert page.complaints == []
        text = page.ask("document.body.textContent")
    assert text.lower().count(HOSTILE) >= 5
