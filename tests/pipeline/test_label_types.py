"""A student answers in the type of the user's labels, from Python and from files, here and in another process."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from torch import nn

import stillhouse as sh
from stillhouse.cli import main
from stillhouse.errors import RejectedError

pytestmark = pytest.mark.slow  # many whole runs

DRAW = np.random.default_rng(0)
CODES = np.arange(240) % 3
X = (np.eye(3)[CODES] * 3 + DRAW.normal(size=(240, 3))).astype(np.float32)
QUICK: dict[str, Any] = {"training": {"workers": 1}, "evaluation": {"resamples": 50}, "data": {}}
LABELS: dict[str, Any] = {
    "tens": np.array([10, 20, 30])[CODES],
    "truth": CODES == 1,
    "billions": CODES * 10**9,
    "text": pd.Series(np.array(["10", "9", "x"])[CODES], dtype="string"),
    "categories": pd.Series(pd.Categorical(CODES + 4)),
    "named": CODES,
}
NAMES = {"named": ["low", "mid", "high"]}  # [data] classes


def run_of(out: Path, y: Any, recipe: dict[str, Any] = QUICK, **options: Any) -> Any:
    parts = [(X[rows], y[rows]) for rows in (slice(0, 160), slice(160, 240))]
    given: dict[str, Any] = {"student": "linear", "steps": 60, "lr": 0.05, "batch_size": 32, "seeds": [0]} | options
    return sh.distill(recipe, data=(parts[0], None, parts[1]), out=out, verbose=False, **given)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run for each type of labels, with a fitted model of scikit-learn as teacher."""
    found = {}
    for name, y in LABELS.items():
        found[name] = tmp_path_factory.mktemp("runs") / "run"
        teacher = LogisticRegression().fit(X[:160], np.asarray(y)[:160])
        run_of(found[name], y, QUICK | {"data": {"classes": NAMES[name]} if name in NAMES else {}}, teacher=teacher)
    return found


@pytest.mark.parametrize("name", list(LABELS))
def test_predictions_compare_with_the_labels_that_were_given(runs: dict[str, Path], name: str) -> None:
    y, model = LABELS[name], sh.load(runs[name])
    found = model.predict(X)
    assert accuracy_score(y, found) > 0.8
    assert model.classes_.tolist() == np.unique(np.asarray(y)).tolist()
    assert {type(one) for one in found.tolist()} == {type(one) for one in np.asarray(y).tolist()}


def test_names_of_classes_are_shown_and_written_by_the_command(
    runs: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert sh.load(runs["named"]).classes == ("low", "mid", "high")
    pd.DataFrame(np.eye(3) * 9).to_csv(tmp_path / "rows.csv", index=False, header=False)
    np.savez(tmp_path / "rows.npz", x=np.eye(3, dtype=np.float32) * 9)
    assert main(["predict", str(runs["named"]), str(tmp_path / "rows.npz")]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert written["class"].tolist() == ["low", "mid", "high"]
    assert list(written.columns[1:]) == ["p_low", "p_mid", "p_high"]


def test_another_process_reads_the_same_types(runs: dict[str, Path]) -> None:
    code = (
        "import sys, json, numpy, stillhouse\n"
        "found = [stillhouse.load(one).predict(numpy.eye(3, dtype='float32')).tolist() for one in sys.argv[1:]]\n"
        "print(json.dumps(found))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, *map(str, runs.values())], capture_output=True, text=True, check=True, timeout=120
    )
    here = [sh.load(one).predict(np.eye(3, dtype="float32")).tolist() for one in runs.values()]
    assert json.dumps(json.loads(answer.stdout)) == json.dumps(here)


def test_labels_of_a_file_come_back_as_pandas_reads_them(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abc")).assign(kind=np.where(CODES == 1, "True", "False"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = {"path": str(tmp_path / "t.csv"), "target": "kind"}
    tree = {"name": "extra_trees", "settings": {"n_estimators": 5}}
    run = sh.distill(
        QUICK | {"data": data, "teacher": tree},
        student="linear",
        steps=60,
        lr=0.05,
        seeds=[0],
        out=tmp_path / "run",
        verbose=False,
    )
    table = pd.read_csv(tmp_path / "t.csv")
    assert accuracy_score(table["kind"], run.load().predict(table)) > 0.7


def test_a_ready_net_with_more_outputs_than_labels_is_refused_until_all_classes_are_named(tmp_path: Path) -> None:
    y = np.array([0, 2, 3])[CODES]
    net = nn.Linear(3, 4)
    with pytest.raises(
        RejectedError, match=r"4 classes, but the data have 3.*classes = \[\"0\", \"1\", \"2\", \"3\"\]"
    ):
        run_of(tmp_path / "refused", y, teacher=net, accept_teacher=True)
    named = QUICK | {"data": {"classes": [0, 1, 2, 3]}}
    run = run_of(tmp_path / "run", y, named, teacher=net, accept_teacher=True)
    assert run.load().classes_.tolist() == [0, 1, 2, 3]


def test_a_pool_marked_by_a_number_needs_one_line(tmp_path: Path) -> None:
    y = np.where(np.arange(240) < 100, CODES, -1)
    y[160:] = CODES[160:]
    teacher = LogisticRegression().fit(X[:100], CODES[:100])
    with pytest.raises(RejectedError, match=r"write `\[data\] no_label = -1`"):
        run_of(tmp_path / "run", y, teacher=teacher)
    run = run_of(tmp_path / "run", y, QUICK | {"data": {"no_label": -1}}, teacher=teacher)
    assert run.load().classes_.tolist() == [0, 1, 2]
    assert "60 unlabelled rows" in run.verdict or "60 unlabelled rows" in run.summary()
