"""Several runs as a table for a paper: the numbers of scores.json, and texts that LaTeX and Markdown can read."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from stillhouse.cli import main
from stillhouse.errors import UsageError
from stillhouse.reporting import table
from stillhouse.tasks import get

TASK = get("classification")


def scores_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text())
    return found


def test_csv_holds_the_numbers_of_the_scores(digits: Path, breast_cancer: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(table([digits, breast_cancer], [TASK, TASK], "csv"))))
    for folder in (digits, breast_cancer):
        scores = scores_of(folder)
        own = {line["model"]: line for line in lines if line["run"] == folder.name}
        for arm, line in own.items():
            known = scores["models"][arm]["measures"]["accuracy"]
            assert [float(line[f"accuracy{end}"]) for end in ("", "_low", "_high")] == list(known.values())
        headline = scores["comparisons"][0]
        assert float(own["distilled"]["gain"]) == headline["difference"]["value"]
        assert own["distilled"]["verdict"] == headline["verdict"]
        assert own["labels_only"]["gain"] == ""


@pytest.mark.parametrize("format", ["latex", "markdown"])
def test_every_line_has_as_many_cells_as_the_head_whatever_the_name_of_the_run(
    digits: Path, tmp_path: Path, format: str
) -> None:
    odd = Path(shutil.copytree(digits, tmp_path / "50%_a|b & $x$ {y}"))
    text = table([digits, odd], [TASK, TASK], format)
    if format == "latex":
        assert r"50\%\_a|b \& \$x\$ \{y\}" in text
        counts = {line.replace(r"\&", "").count("&") for line in text.splitlines() if line.endswith(r" \\")}
    else:
        assert r"50%\_a\|b & $x$ {y}" in text
        rows = [line for line in text.splitlines() if line.startswith("|")]
        counts = {line.replace(r"\|", "").count("|") for line in rows}
    assert len(counts) == 1


def test_the_command_writes_a_page_or_one_table(
    digits: Path, breast_cancer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare"]
    for folder in (digits, breast_cancer):
        copy = Path(shutil.copytree(folder, tmp_path / folder.name))
        record = json.loads((copy / "run.json").read_text())
        (copy / "run.json").write_text(json.dumps(record | {"parts": {}}))
        words.append(str(copy))
    assert main([*words, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("run,model,labels")
    assert main([*words, "--out", str(tmp_path / "page.html")]) == 0
    assert "<html" in (tmp_path / "page.html").read_text()
    assert main([*words, "--markdown", "-o", str(tmp_path / "table.md")]) == 0
    assert (tmp_path / "table.md").read_text().startswith("| Run | Model |")
    assert main([*words, "--csv", "--latex"]) == 2
    assert main(words[:2]) == 2


def test_an_unknown_format_names_the_nearest(digits: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'latex'"):
        table([digits], [TASK], "latx")
