"""Data that change, repeat themselves or contain themselves: said by row, with a cure that works."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.faults.runs import FLAGS, write_table
from tests.shell import run


def command(folder: Path, out: str = "run", more: str = "") -> str:
    return f"distill {FLAGS} --data.path {folder / 'rows.csv'} --output.dir {folder / out} {more}"


@pytest.mark.fault("F18", "a cell of the data has changed since the run began: the row is named", exit=2)
def test_a_changed_cell_is_named_by_its_row_and_the_cure_works(copied: Path) -> None:
    folder = copied.parent
    lines = (folder / "rows.csv").read_text().splitlines()
    a, b, kind = lines[18].split(",")
    (folder / "rows.csv").write_text("\n".join([*lines[:18], f"{float(a) + 1:.6f},{b},{kind}", *lines[19:]]) + "\n")
    code, _, err = run(command(folder))
    assert code == 2
    assert "the data changed: row 17 (counted from 0)" in err
    assert "--output.dir FOLDER" in err
    other = "no" if kind == "yes" else "yes"
    (folder / "rows.csv").write_text("\n".join([*lines[:18], f"{a},{b},{other}", *lines[19:]]) + "\n")
    assert "the data changed: row 17 (counted from 0)" in run(command(folder))[2], "a label counts too"
    (folder / "rows.csv").write_text("\n".join([*lines, lines[-1]]) + "\n")
    assert "240 rows there, 241 here" in run(command(folder))[2]
    code, _, err = run(command(folder, "another"))
    assert code == 0, err


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which 60 of 300 rows stand twice."""
    folder = tmp_path_factory.mktemp("repeated")
    write_table(folder / "rows.csv")
    lines = (folder / "rows.csv").read_text().splitlines()
    (folder / "rows.csv").write_text("\n".join([*lines, *lines[1:61]]) + "\n")
    return folder


@pytest.mark.fault("F18", "test rows that are training rows too: a warning with the figures without them", exit=0)
def test_duplicates_across_train_and_test_are_told_with_the_figure_without_them(repeated: Path) -> None:
    code, out, err = run(command(repeated))
    assert code == 0, err
    record = json.loads((repeated / "run" / "run.json").read_text())
    split = np.load(repeated / "run" / "split.npz")
    inputs = [line.rpartition(",")[0] for line in (repeated / "rows.csv").read_text().splitlines()[1:]]
    train = {inputs[i] for i in split["train"]}
    expected = [int(i) for i in split["test"] if inputs[i] in train]
    assert expected
    assert sorted(record["duplicates"]) == sorted(expected)
    scores = json.loads((repeated / "run" / "scores.json").read_text())
    start = f"Without the {len(expected)} of {len(split['test'])} test rows whose inputs a training row has too"
    (said,) = [one for one in scores["warnings"] if one.startswith(start)]
    predictions = np.load(repeated / "run" / "predictions.npz")
    left = ~np.isin(predictions["rows"], expected)
    right = [(predictions[f"distilled/{seed}"].argmax(1) == predictions["targets"])[left].mean() for seed in (0, 1)]
    assert f"accuracy is {np.mean(right):.4g}" in said
    assert "whose inputs a training row has too" in out
    assert "whose inputs a training row has too" in (repeated / "run" / "report.html").read_text()


@pytest.mark.fault("F18", "more such rows than `[evaluation] max_duplicates` allows", exit=4)
def test_more_duplicates_than_allowed_are_refused_before_anything_is_written(repeated: Path) -> None:
    code, _, err = run(command(repeated, "strict", "--evaluation.max-duplicates 0.02"))
    assert (code, "max_duplicates = 0.02" in err) == (4, True), err
    assert not (repeated / "strict").exists()


def test_few_duplicates_are_no_warning(finished: Path) -> None:
    assert "duplicates" not in json.loads((finished / "run.json").read_text())


@pytest.mark.fault("F18", "a folder of images that contains itself", exit=4)
def test_a_folder_of_images_that_contains_itself_is_refused(tmp_path: Path) -> None:
    for kind in ("cat", "dog"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (8, 8), i * 9).save(tmp_path / "images" / kind / f"{i}.png")
    (tmp_path / "images" / "all").symlink_to(tmp_path / "images")
    code, _, err = run(f"distill --data.images {tmp_path / 'images'} --output.dir {tmp_path / 'run'}")
    assert (code, "contains itself" in err) == (4, True), err
    (tmp_path / "images" / "all").unlink()
    assert "contains itself" not in run(f"plan --data.images {tmp_path / 'images'}")[2]


@pytest.mark.fault("F18", "`store gc` deletes what no run needs, and nothing where a digest is unknown", exit=0)
def test_store_gc_keeps_what_is_in_use(copied: Path) -> None:
    (listed,) = json.loads(run(f"store ls {copied} --json")[1])
    assert run(f"store gc {copied}")[0] == 0
    assert json.loads(run(f"store ls {copied} --json")[1]) == [listed]
    assert run(f"store gc {copied} --keep {listed['digest']}")[0] == 0
    code, _, err = run(f"store gc {copied} --keep 123")
    assert (code, "nothing is deleted" in err) == (2, True)
    assert json.loads(run(f"store ls {copied} --json")[1]) == [listed]
