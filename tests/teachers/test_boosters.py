"""LightGBM, XGBoost and CatBoost as teachers: their own files and objects give the libraries' own probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from stillhouse.errors import RejectedError
from stillhouse.teachers.fitted.files import file_identity, load_fitted
from stillhouse.teachers.fitted.objects import from_object
from tests.teachers.asking import no_decoding, probabilities
from tests.teachers.tasks import CLASSIFICATION, named

FLOWERS = ("setosa", "versicolor", "virginica")
NAMES = ("sepal length", "sepal width", "petal length", "petal width")
SUFFIXES = (".txt", ".json", ".ubj", ".cbm")


def flowers(classes: int = 3) -> tuple[pd.DataFrame, np.ndarray]:
    rows, targets = load_iris(return_X_y=True)
    keep = targets < classes
    # Noise, so that no probability is so near 0 that the floor below it would show.
    noise = np.random.default_rng(0).normal(0, 0.5, rows.shape)
    return pd.DataFrame((rows + noise)[keep], columns=pd.Index(NAMES)), targets[keep]


def fitted(suffix: str, frame: Any, targets: np.ndarray, **settings: Any) -> Any:
    """A small model of the library whose files have this suffix."""
    if suffix == ".txt":
        lightgbm = pytest.importorskip("lightgbm")
        return lightgbm.LGBMClassifier(n_estimators=8, verbose=-1, n_jobs=1, **settings).fit(frame, targets)
    if suffix == ".cbm":
        catboost = pytest.importorskip("catboost")
        quiet = {"verbose": 0, "allow_writing_files": False, "thread_count": 1}
        return catboost.CatBoostClassifier(iterations=8, **quiet, **settings).fit(frame, targets)
    xgboost = pytest.importorskip("xgboost")
    return xgboost.XGBClassifier(n_estimators=8, n_jobs=1, **settings).fit(frame, targets)


def saved(model: Any, place: Path) -> Path:
    model.booster_.save_model(str(place)) if place.suffix == ".txt" else model.save_model(str(place))
    return place


def booster(model: Any) -> Any:
    """What the files of LightGBM and XGBoost hold; CatBoost has no such object."""
    return model.get_booster() if hasattr(model, "get_booster") else getattr(model, "booster_", model)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_gives_the_probabilities_of_the_model_it_was_saved_from(
    tmp_path: Path, suffix: str, classes: int
) -> None:
    frame, targets = flowers(classes)
    model = fitted(suffix, frame, targets)
    loaded = load_fitted(
        saved(model, tmp_path / f"m{suffix}"), CLASSIFICATION, named(FLOWERS[:classes]), decode=no_decoding
    )
    shuffled = frame[[*NAMES[::-1]]].assign(colour="blue")
    np.testing.assert_allclose(probabilities(loaded, shuffled), model.predict_proba(frame), atol=1e-6)
    assert loaded.parameters > 8


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_object_gives_its_own_probabilities_and_fits_arrays_too(suffix: str) -> None:
    frame, targets = flowers()
    for rows in (frame, frame.to_numpy()):
        model = fitted(suffix, rows, targets)
        teacher = from_object(model, CLASSIFICATION, named(FLOWERS), decode=no_decoding)
        for asked in (frame, frame.to_numpy()):
            np.testing.assert_allclose(probabilities(teacher, asked), model.predict_proba(rows), atol=1e-6)


@pytest.mark.parametrize(("suffix", "name"), [(".txt", "lightgbm"), (".json", "xgboost"), (".cbm", "catboost")])
def test_the_same_file_is_the_same_teacher_and_another_is_another(tmp_path: Path, suffix: str, name: str) -> None:
    frame, targets = flowers()
    for stem, rows in (("one", 150), ("two", 120)):
        saved(fitted(suffix, frame[:rows], targets[:rows]), tmp_path / f"{stem}{suffix}")
    one, again, two = (file_identity(tmp_path / f"{stem}{suffix}", name) for stem in ("one", "one", "two"))
    assert one == again != two


@pytest.mark.parametrize("suffix", [".txt", ".cbm"])
def test_class_names_are_matched_where_the_object_has_them(suffix: str) -> None:
    frame, targets = flowers()
    model = fitted(suffix, frame, np.array(FLOWERS)[targets])
    teacher = from_object(model, CLASSIFICATION, named(FLOWERS[::-1]), decode=no_decoding)
    np.testing.assert_allclose(probabilities(teacher, frame), model.predict_proba(frame)[:, ::-1], atol=1e-6)


def test_a_catboost_file_keeps_the_names_of_its_classes(tmp_path: Path) -> None:
    frame, targets = flowers()
    model = fitted(".cbm", frame, np.array(FLOWERS)[targets])
    place = saved(model, tmp_path / "m.cbm")
    loaded = load_fitted(place, CLASSIFICATION, named(FLOWERS[::-1]), decode=no_decoding)
    np.testing.assert_allclose(probabilities(loaded, frame), model.predict_proba(frame)[:, ::-1], atol=1e-6)
    with pytest.raises(RejectedError, match="do not have: 'virginica'"):
        load_fitted(place, CLASSIFICATION, named(("setosa", "versicolor", "rose")), decode=no_decoding)


@pytest.mark.parametrize("suffix", [".txt", ".json"])
def test_a_missing_column_is_named_and_another_number_of_classes_refused(suffix: str) -> None:
    frame, targets = flowers()
    teacher = from_object(booster(fitted(suffix, frame, targets)), CLASSIFICATION, named(FLOWERS), decode=no_decoding)
    with pytest.raises(RejectedError, match=r"lack 1 of them: 'petal.width'\. Did you mean 'petal_breadth'"):
        probabilities(teacher, frame.rename(columns={"petal width": "petal_breadth"}))
    with pytest.raises(RejectedError, match="answers with 3 classes, but the data have 2"):
        from_object(booster(fitted(suffix, frame, targets)), CLASSIFICATION, named(FLOWERS[:2]), decode=no_decoding)


@pytest.mark.parametrize("suffix", [".txt", ".json", ".cbm"])
def test_a_model_that_predicts_numbers_is_refused(tmp_path: Path, suffix: str) -> None:
    frame, targets = flowers()
    if suffix == ".txt":
        model = pytest.importorskip("lightgbm").LGBMRegressor(n_estimators=2, verbose=-1).fit(frame, targets)
    elif suffix == ".json":
        model = pytest.importorskip("xgboost").XGBRegressor(n_estimators=2).fit(frame, targets)
    else:
        quiet = {"verbose": 0, "allow_writing_files": False}
        model = pytest.importorskip("catboost").CatBoostRegressor(iterations=2, **quiet).fit(frame, targets)
    place = saved(model, tmp_path / f"m{suffix}")
    with pytest.raises(RejectedError, match=r"objective '(regression|reg:squarederror|RMSE)'"):
        load_fitted(place, CLASSIFICATION, named(FLOWERS), decode=no_decoding)


@pytest.mark.parametrize("suffix", [".txt", ".json", ".cbm"])
@pytest.mark.fault("C26", "a booster's file that is cut short", exit=4)
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    place = saved(fitted(suffix, *flowers()), tmp_path / f"m{suffix}")
    place.write_bytes(place.read_bytes()[: place.stat().st_size // 2])
    with pytest.raises(RejectedError, match=r"cannot be read as a model of|died with status"):
        load_fitted(place, CLASSIFICATION, named(FLOWERS), decode=no_decoding)


def test_one_against_all_answers_are_made_to_add_up_to_one() -> None:
    frame, targets = flowers()
    model = fitted(".txt", frame, targets, objective="multiclassova")
    loaded = from_object(model.booster_, CLASSIFICATION, named(FLOWERS), decode=no_decoding)
    sigmoids = model.predict_proba(frame)
    np.testing.assert_allclose(probabilities(loaded, frame), sigmoids / sigmoids.sum(1, keepdims=True), atol=1e-6)


def test_trees_after_the_best_are_left_out_as_the_library_leaves_them() -> None:
    frame, targets = flowers()
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=0.9, n_jobs=1)
    model.fit(frame[::2], targets[::2], eval_set=[(frame[1::2], targets[1::2])], verbose=False)
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    loaded = from_object(model.get_booster(), CLASSIFICATION, named(FLOWERS), decode=no_decoding)
    np.testing.assert_allclose(probabilities(loaded, frame), model.predict_proba(frame), atol=1e-6)


@pytest.mark.parametrize("suffix", [".txt", ".json", ".cbm"])
def test_columns_of_text_are_categories(suffix: str) -> None:
    frame, targets = flowers()
    colours = frame.assign(colour=np.array(["red", "blue", "white"])[(targets + np.arange(150) % 2) % 3])
    if suffix == ".cbm":
        model = fitted(suffix, colours, targets, cat_features=["colour"])
    else:
        settings = {} if suffix == ".txt" else {"enable_categorical": True}
        model = fitted(suffix, colours.astype({"colour": "category"}), targets, **settings)
    truth = model.predict_proba(colours.astype({"colour": "category"}))
    for each in (model, booster(model)):
        teacher = from_object(each, CLASSIFICATION, named(FLOWERS), decode=no_decoding)
        np.testing.assert_allclose(probabilities(teacher, colours), truth, atol=1e-6)
        # A batch need not hold all categories that training had.
        np.testing.assert_allclose(probabilities(teacher, colours[:1]), truth[:1], atol=1e-6)


def test_whole_floats_are_the_integers_that_catboost_has_for_categories() -> None:
    frame, targets = flowers()
    coded = frame.assign(colour=(targets + np.arange(150) % 2) % 3)
    model = fitted(".cbm", coded, targets, cat_features=["colour"])
    teacher = from_object(model, CLASSIFICATION, named(FLOWERS), decode=no_decoding)
    told = probabilities(teacher, coded.astype({"colour": np.float64}))
    np.testing.assert_allclose(told, model.predict_proba(coded), atol=1e-6)
