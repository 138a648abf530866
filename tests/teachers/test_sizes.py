"""The bytes of fitted models are those that a file of them, or their arrays, would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillhouse.teachers import EnsembleTeacher, ModuleTeacher, fit_sklearn
from stillhouse.teachers.fitted.files import load_fitted
from stillhouse.teachers.fitted.objects import from_object
from stillhouse.teachers.sizes import stored_bytes
from stillhouse.teachers.sklearn import SklearnTeacher
from tests.teachers.tasks import CLASSIFICATION, named, wide

DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(120, 4)), DRAW.integers(0, 2, 120)
NODE = 64  # bytes of a node of scikit-learn's trees: two children, a column, a threshold, impurity, two counts, a flag


def test_a_forest_is_its_nodes_and_their_classes() -> None:
    from sklearn.ensemble import ExtraTreesClassifier

    model = ExtraTreesClassifier(5, random_state=0).fit(X, Y)
    nodes = sum(tree.tree_.node_count for tree in model.estimators_)
    assert stored_bytes(model) == nodes * (NODE + 2 * 8)


@pytest.mark.parametrize("name", ["extra_trees", "hist_gradient_boosting"])
def test_teachers_fitted_here_say_what_their_whole_model_takes(name: str) -> None:
    x, y = torch.from_numpy(X).float(), torch.from_numpy(Y)
    teacher = fit_sklearn(name, {}, x, y, task=CLASSIFICATION, spec=wide(2), folds=2, seed=0)
    assert teacher.parameters > 0
    assert isinstance(teacher.whole, SklearnTeacher)
    assert teacher.nbytes == stored_bytes(teacher.whole.model)
    assert (teacher.nbytes or 0) >= 40 * teacher.parameters


def test_coefficients_count_and_what_is_unknown_is_not_nothing() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = LogisticRegression().fit(X, Y)
    assert stored_bytes(linear) == 8 * 5
    assert stored_bytes(GaussianNB().fit(X, Y)) is None
    assert stored_bytes(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)) is None
    assert (
        from_object(lambda rows: rows, CLASSIFICATION, named(["a", "b"]), decode=lambda rows: rows, identity="f").nbytes
        is None
    )


def decode(inputs: Any) -> Any:
    return inputs.numpy()


def test_a_lightgbm_file_and_its_booster_take_the_same(tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    fitted = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbose=-1).fit(X, Y)
    fitted.booster_.save_model(str(tmp_path / "model.txt"))
    size = (tmp_path / "model.txt").stat().st_size
    assert load_fitted(
        tmp_path / "model.txt", CLASSIFICATION, named(["a", "b"]), decode=decode
    ).nbytes == pytest.approx(size, rel=0.01)
    assert stored_bytes(fitted) == pytest.approx(size, rel=0.01)


def test_an_xgboost_file_and_its_booster_take_the_same(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    fitted = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y)
    fitted.get_booster().save_model(tmp_path / "model.ubj")
    assert stored_bytes(fitted) == (tmp_path / "model.ubj").stat().st_size


def test_members_add_up_unless_one_is_unknown() -> None:
    net = ModuleTeacher(torch.nn.Linear(4, 2), CLASSIFICATION, wide(2))
    assert net.nbytes == 4 * (4 * 2 + 2)
    assert EnsembleTeacher([net, net], CLASSIFICATION).nbytes == 2 * net.nbytes
    unknown = from_object(lambda rows: rows, CLASSIFICATION, named(["a", "b"]), decode=decode, identity="f")
    assert EnsembleTeacher([net, unknown], CLASSIFICATION).nbytes is None
