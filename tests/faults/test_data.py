"""Data that change, repeat themselves or contain themselves: said by row, with a cure that works."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stillhouse as sh
from tests.faults.runs import FLAGS, write_table
from tests.pipeline.test_teachers_of_all_kinds import plan_of, service_recipe, texts_of, write_texts
from tests.shell import run
from tests.teachers.misbehaving_server import Server


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


def counting_teacher(asked: str) -> Callable[[Any], np.ndarray]:
    """A function from rows to probabilities that writes down which rows it was asked about."""

    def teacher(rows: Any) -> np.ndarray:
        values = np.asarray(rows, dtype=np.float64)
        with Path(asked).open("a") as file:
            file.writelines(f"{value[0]:.6f}\n" for value in values)
        yes = 1 / (1 + np.exp(-4 * (values[:, 0] + 0.3 * values[:, 1])))
        return np.stack([1 - yes, yes], 1)

    return teacher


@pytest.mark.slow
@pytest.mark.fault("F18", "a run is begun anew after a cell has changed: only that row is asked again", exit=0)
@pytest.mark.parametrize("overwrite", [False, True], ids=["another folder", "--overwrite"])
def test_only_the_changed_row_is_asked_again(overwrite: bool, tmp_path: Path) -> None:
    asked, file = tmp_path / "asked", tmp_path / "rows.csv"
    store = {"block_rows": 32} | ({} if overwrite else {"dir": str(tmp_path / "answers")})
    table = {"data": {"path": str(file), "target": "kind", "labels": 60}, "store": store}
    table["views"] = {"policy": "none"}
    label = partial(sh.label, table, teacher=counting_teacher(str(asked)), student="mlp_tiny", verbose=False)
    write_table(file)
    assert label(out=tmp_path / "first")["views"] == 1
    train = np.load(tmp_path / "first" / "split.npz")["train"]
    lines = file.read_text().splitlines()
    inputs = [line.split(",")[0] for line in lines[1:]]
    assert {inputs[row] for row in train} <= set(asked.read_text().split())
    asked.unlink()
    changed = int(train[-1])
    cells = lines[changed + 1].split(",")
    lines[changed + 1] = ",".join([f"{float(cells[0]) * 1.01:.6f}", *cells[1:]])
    file.write_text("\n".join(lines) + "\n")
    assert label(out=tmp_path / ("first" if overwrite else "second"), overwrite=overwrite)["rows"] == len(train)
    first = {inputs[row] for row in train[:64]}  # by these it is seen what kind of answers a function gives
    assert set(asked.read_text().split()) - first == {lines[changed + 1].split(",")[0]}


@pytest.mark.slow
@pytest.mark.fault("F18", "a service is asked again about the changed text alone", exit=0)
@pytest.mark.enable_socket
def test_a_service_is_asked_again_about_the_changed_text_alone(tmp_path: Path) -> None:
    rows = texts_of(40)
    with Server(plan=plan_of(rows, {})) as server:
        write_texts(tmp_path, rows)
        recipe = service_recipe(tmp_path, server.url, samples=1)
        shared = f"label {recipe} --data.labels 10 --store.dir {tmp_path / 'answers'} --output.dir"
        code, _, err = run(f"{shared} {tmp_path / 'first'}")
        assert code == 0, err
        assert len(server.asked) == 40
        server.asked.clear()
        rows[5] = (rows[5][0] + " indeed", rows[5][1])
        write_texts(tmp_path, rows)
        assert run(f"{shared} {tmp_path / 'first'}")[0] == 2, "the data changed"
        code, _, err = run(f"{shared} {tmp_path / 'second'}")
        assert code == 0, err
    assert server.asked == {rows[5][0]: 1}


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
