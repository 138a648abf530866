"""A ready teacher sees the user's cells, untouched: types, categories, names and order of columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

import stillhouse as sh
from stillhouse.errors import RejectedError
from stillhouse.pipeline.arguments import resolve
from stillhouse.pipeline.distill import Distillation
from tests.pipeline.frames import CELLS, DAYS, FLAG, PARTS, RIGHT, N, X, Y, frame, of_file, parts, pipeline, shares


@pytest.mark.parametrize("name", [name for name in CELLS if name != "int and text"])  # scikit-learn takes no such
def test_a_pipeline_answers_as_it_does_by_itself_whatever_the_type_of_a_column(tmp_path: Path, name: str) -> None:
    rows = frame(name)
    model = pipeline(rows)
    truth = model.predict_proba(rows.iloc[PARTS[2]])
    assert (model.classes_[truth.argmax(1)] == Y[PARTS[2]]).mean() == pytest.approx(RIGHT, abs=1e-4)
    for part, whole in (("test", truth), ("valid", model.predict_proba(rows.iloc[PARTS[1]]))):
        np.testing.assert_allclose(shares(tmp_path / part, model, parts(rows), part), whole, atol=1e-5)


@pytest.mark.parametrize("name", ["bool", "categories of bools", "categories of ints", "categories", "ordered"])
@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_booster_sees_its_categories(tmp_path: Path, library: str, name: str) -> None:
    if (library, name) == ("xgboost", "categories of bools"):
        pytest.skip("XGBoost itself takes no such categories")
    rows, labels = frame(name), (Y == "pos").astype(int)
    if library == "lightgbm":
        model: Any = pytest.importorskip("lightgbm").LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1)
    else:
        model = pytest.importorskip("xgboost").XGBClassifier(n_estimators=8, n_jobs=1, enable_categorical=True)
    model.fit(rows.iloc[PARTS[0]], labels[PARTS[0]])
    truth = model.predict_proba(rows.iloc[PARTS[2]])
    assert (truth.argmax(1) == labels[PARTS[2]]).mean() > 0.9
    inner = model.booster_ if library == "lightgbm" else model.get_booster()
    for number, teacher in enumerate((model, inner)):
        found = shares(tmp_path / str(number), teacher, parts(rows, np.where(labels, "pos", "neg")))
        np.testing.assert_allclose(found, truth, atol=1e-5)


def month(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"summer": rows["day"].dt.month == 7, "x": rows["x"]}).astype(float)


def test_a_pipeline_may_use_what_only_its_own_type_has(tmp_path: Path) -> None:
    rows = frame("days", "day")
    model = make_pipeline(FunctionTransformer(month), LogisticRegression()).fit(rows.iloc[PARTS[0]], Y[PARTS[0]])
    found = shares(tmp_path, model, parts(rows))
    np.testing.assert_allclose(found, model.predict_proba(rows.iloc[PARTS[2]]), atol=1e-5)


def test_the_order_names_and_index_of_a_frame_reach_a_function(tmp_path: Path) -> None:
    rows = frame("nullable ints").assign(**{" odd name ": X * 2, "a.b": X}).set_index(np.arange(N)[::-1] * 10)
    rows.columns = pd.Index(["c", 7, " odd name ", "a.b"], dtype=object)
    seen: list[pd.DataFrame] = []

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        seen.append(given)
        share = 0.9 * (given["c"] == 7).to_numpy(bool) + 0.05
        return np.stack([1 - share, share], axis=1)

    shares(tmp_path, teacher, parts(rows))
    assert seen
    for one in seen:
        pd.testing.assert_frame_equal(one, rows.loc[one.index])


def test_parts_whose_types_differ_stay_as_they_are(tmp_path: Path) -> None:
    """A gap in the test frame makes its integers floats there, and only there."""
    rows = frame("ints")
    test = rows.iloc[PARTS[2]].astype({"c": float})
    test.iloc[0, 0] = np.nan
    kinds: set[str] = set()

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        kinds.add(str(given["c"].dtype))
        return np.tile([0.4, 0.6], (len(given), 1))

    data = parts(rows)
    run = shares(tmp_path / "a", teacher, (*data[:2], (test, Y[PARTS[2]])))
    assert len(run) == 120
    assert kinds == {"int64", "float64"}


def test_a_pipeline_may_be_given_frames_without_a_column_that_it_never_reads(tmp_path: Path) -> None:
    rows = frame("bool").assign(note="n", when=DAYS)
    chosen = make_column_transformer((OneHotEncoder(), ["c"]), ("passthrough", ["x"]), remainder="drop")
    model = make_pipeline(chosen, LogisticRegression()).fit(rows.iloc[PARTS[0]], Y[PARTS[0]])
    found = shares(tmp_path / "a", model, parts(rows[["x", "c"]]))
    np.testing.assert_allclose(found, model.predict_proba(rows.iloc[PARTS[2]]), atol=1e-5)
    with pytest.raises(RejectedError, match=r"lack 3 of them: 'c', 'note', 'when'"):
        shares(tmp_path / "b", model, parts(rows[["x"]].assign(other=1.0)))


def test_a_dropped_column_is_not_shown_and_a_teacher_that_reads_it_is_refused(tmp_path: Path) -> None:
    rows = frame("bool").assign(note=np.where(FLAG, "u", "v"))
    model = pipeline(rows.drop(columns="x"), "note")
    with pytest.raises(RejectedError, match=r"lack 1 of them: 'note'.*\[data\] drop.* not shown"):
        shares(tmp_path / "a", model, parts(rows), data={"drop": ["note", "x"]})
    found = shares(tmp_path / "b", model, parts(rows), data={"drop": ["x"]})  # the cure: leave it in
    np.testing.assert_allclose(found, model.predict_proba(rows.iloc[PARTS[2]]), atol=1e-5)
    other = pipeline(rows.drop(columns="note"))
    found = shares(tmp_path / "c", other, parts(rows), data={"drop": ["note"]})
    np.testing.assert_allclose(found, other.predict_proba(rows.iloc[PARTS[2]]), atol=1e-5)


@pytest.mark.parametrize("file", ["", "rows.parquet"])
def test_a_named_index_stays_one_for_the_teacher_and_is_a_column_for_the_student(tmp_path: Path, file: str) -> None:
    rows = frame("categories").set_index(pd.Index(np.arange(N)[::-1], name="visit"))
    model = pipeline(rows)
    if file:
        rows.assign(y=Y).to_parquet(tmp_path / file)
        recipe, handed = resolve(of_file(tmp_path / file), teacher=model, out=tmp_path / "run")
    else:
        recipe, handed = resolve({}, teacher=model, data=parts(rows), out=tmp_path / "run")
    run = Distillation(recipe, handed)
    truth = model.predict_proba(rows.iloc[run.context.data.split.test])
    np.testing.assert_allclose(np.exp(run.teachers["teacher"].outputs("test")), truth, atol=1e-5)
    assert run.context.data.encoder.names == ("visit", "c", "x")
    encode = run.context.data.encoder.encode
    assert torch.equal(encode(rows), encode(rows.reset_index()))


def test_rows_in_another_type_are_another_run(tmp_path: Path) -> None:
    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        return np.tile([0.4, 0.6], (len(given), 1))

    shares(tmp_path, teacher, parts(frame("ints")))
    shares(tmp_path, teacher, parts(frame("ints")))
    for other in ("small ints", "nullable ints", "categories of ints", "object ints"):
        with pytest.raises(sh.errors.UsageError, match=r"holds a run of another recipe|data"):
            shares(tmp_path, teacher, parts(frame(other)))


@pytest.mark.parametrize("name", ["bool", "None and Gd", "zip codes", "ints", "str", "missing", "blanks"])
def test_a_csv_reaches_a_teacher_as_pandas_reads_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rows.csv"
    frame(name).assign(y=Y).to_csv(path, index=False)
    rows = pd.read_csv(path)
    seen: list[pd.DataFrame] = []

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        seen.append(given)
        return np.tile([0.4, 0.6], (len(given), 1))

    shares(tmp_path / "run", teacher, None, **of_file(path))
    for one in seen:
        pd.testing.assert_frame_equal(one, rows.loc[one.index, ["c", "x"]])


@pytest.mark.parametrize("name", ["bool", "categories", "categories of ints", "nullable ints", "days", "small ints"])
def test_a_parquet_file_reaches_a_teacher_with_its_types(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rows.parquet"
    frame(name).assign(y=Y).to_parquet(path)
    rows = pd.read_parquet(path)
    seen: list[pd.DataFrame] = []

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        seen.append(given)
        return np.tile([0.4, 0.6], (len(given), 1))

    shares(tmp_path / "run", teacher, None, **of_file(path))
    for one in seen:
        pd.testing.assert_frame_equal(one, rows.loc[one.index, ["c", "x"]])


def test_jsonl_reaches_a_teacher_as_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    frame("bool").assign(k=np.where(FLAG, 7, 3), y=Y).to_json(path, orient="records", lines=True)
    kinds: set[tuple[str, ...]] = set()

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        kinds.add(tuple(map(str, given.dtypes)))
        return np.tile([0.4, 0.6], (len(given), 1))

    shares(tmp_path / "run", teacher, None, **of_file(path))
    assert kinds == {("bool", "float64", "int64")}


@pytest.mark.parametrize("name", ["bool", "categories of ints", "object bool", "nullable ints", "zip codes", "days"])
def test_views_reach_a_teacher_in_the_users_own_types(tmp_path: Path, name: str) -> None:
    rows = frame(name)
    model = pipeline(rows)
    asked: list[pd.DataFrame] = []

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        asked.append(given)
        return np.asarray(model.predict_proba(given))

    recipe, handed = resolve(
        {"views": {"policy": "munge", "count": 3}}, teacher=teacher, data=parts(rows), out=tmp_path
    )
    run = Distillation(recipe, handed)
    run.teachers["teacher"].ask(lambda done: None)
    assert all((one.dtypes == rows.dtypes).all() for one in asked)
    train = rows.iloc[PARTS[0]]
    changed = sum(not one.equals(train.loc[one.index]) for one in asked)
    assert 0 < changed < len(asked)
    for one in asked:
        assert set(one["c"].dropna().unique()) <= set(rows["c"].dropna().unique())


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_every_frame_reaches_a_teacher_cell_for_cell(tmp_path_factory: Any, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4, unique=True))
    order = data.draw(st.permutations([*names, "x"]))
    rows = pd.DataFrame({name: CELLS.get(name, X) for name in order})
    kept: list[pd.DataFrame] = []

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        kept.append(given)
        share = 0.9 * FLAG[given.index] + 0.05
        return np.stack([1 - share, share], axis=1)

    found = shares(tmp_path_factory.mktemp("run"), teacher, parts(rows))
    assert ((found[:, 1] > 0.5) == FLAG[PARTS[2]]).all()
    for one in kept:
        pd.testing.assert_frame_equal(one, rows.loc[one.index])


def test_a_whole_run_with_a_teacher_of_untouched_cells(tmp_path: Path) -> None:
    rows = frame("None and Gd")
    run = sh.distill(
        {"controls": {"all_labels": False, "same_teacher": False}},
        teacher=pipeline(rows),
        data=parts(rows),
        steps=20,
        batch_size=32,
        seeds=[0],
        out=tmp_path,
        verbose=False,
    )
    scores = run.scores["models"]["teacher"]["measures"]
    assert scores["accuracy"]["value"] == pytest.approx(RIGHT, abs=1e-4)
    assert run.predict(rows.iloc[PARTS[2]]).shape == (120,)
    (form,) = json.loads((tmp_path / "run.json").read_text())["teacher_gate"]["answers"]
    assert form == {
        "kind": "probabilities", "decided": "stated", "columns": "by the classes of the model", "dtype": "float64",
        "tolerance": 0.01,
    }  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert "by the classes of the model" in page


def test_several_teachers_and_teachers_fitted_out_of_fold_see_the_same_cells(tmp_path: Path) -> None:
    rows = frame("categories of ints")
    model, seen = pipeline(rows), set()

    def teacher(given: pd.DataFrame) -> NDArray[np.float64]:
        seen.add(str(given["c"].dtype))
        return np.asarray(model.predict_proba(given))

    truth = model.predict_proba(rows.iloc[PARTS[2]])
    np.testing.assert_allclose(shares(tmp_path / "two", [teacher, model], parts(rows)), truth, atol=1e-5)
    chosen = make_column_transformer((OneHotEncoder(), ["c"]), remainder="passthrough")
    unfitted = make_pipeline(FunctionTransformer(only_ints), chosen, LogisticRegression())
    sh.Distiller(teacher=unfitted, steps=5, batch_size=32, random_state=0, verbose=False).fit(rows, Y)
    assert seen == {"category"}


def only_ints(rows: pd.DataFrame) -> pd.DataFrame:
    assert list(rows["c"].cat.categories) == [3, 7]
    return rows


def test_a_function_of_a_frame_of_texts_is_given_the_frame(tmp_path: Path) -> None:
    words = np.where(FLAG, "a good cup of tea", "a stale piece of bread")
    rows = pd.DataFrame({"review": words})
    kinds: set[type] = set()

    def teacher(given: Any) -> NDArray[np.float64]:
        kinds.add(type(given))
        share = 0.9 * given["review"].str.contains("good").to_numpy(bool) + 0.05
        return np.stack([1 - share, share], axis=1)

    found = shares(tmp_path / "frame", teacher, parts(rows))
    assert kinds == {pd.DataFrame}
    assert ((found[:, 1] > 0.5) == FLAG[PARTS[2]]).all()
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(words[PARTS[0]], Y[PARTS[0]])
    found = shares(tmp_path / "texts", model, parts(rows))
    np.testing.assert_allclose(found, model.predict_proba(words[PARTS[2]]), atol=1e-5)
