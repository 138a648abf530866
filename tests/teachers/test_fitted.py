"""Fitted scikit-learn models as teachers, handed over as objects and as skops files; other files are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.fitted.files import load_fitted
from stillhouse.teachers.fitted.objects import from_object
from stillhouse.teachers.fitted.teacher import FittedTeacher
from tests.teachers.asking import no_decoding, probabilities, rows_of
from tests.teachers.tasks import CLASSIFICATION, named

FLOWERS = ("setosa", "versicolor", "virginica")


def flowers() -> tuple[pd.DataFrame, np.ndarray]:
    """Iris as a frame, and the names of its classes."""
    frame, targets = load_iris(return_X_y=True, as_frame=True)
    return frame, np.array(FLOWERS)[targets]


def pipeline() -> Any:
    frame, names = flowers()
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(frame, names)


def teacher(model: Any, classes: tuple[str, ...] = FLOWERS) -> FittedTeacher:
    return from_object(model, CLASSIFICATION, named(classes), decode=no_decoding)


def test_a_pipeline_answers_as_it_does_by_itself_whatever_the_order_of_columns() -> None:
    model, (frame, _) = pipeline(), flowers()
    told = probabilities(teacher(model), frame[frame.columns[::-1]].assign(colour="blue"))
    np.testing.assert_allclose(told, model.predict_proba(frame), atol=1e-6)


def test_columns_follow_the_data_where_their_classes_stand_in_another_order() -> None:
    model, (frame, _) = pipeline(), flowers()
    told = probabilities(teacher(model, ("virginica", "setosa", "versicolor")), frame)
    np.testing.assert_allclose(told, model.predict_proba(frame)[:, [2, 0, 1]], atol=1e-6)


def test_a_missing_column_is_named_with_the_nearest_that_is_there() -> None:
    frame = flowers()[0].rename(columns={"petal width (cm)": "petal_width"})
    with pytest.raises(RejectedError, match=r"lack 1 of them: 'petal width \(cm\)'\. Did you mean 'petal_width'"):
        probabilities(teacher(pipeline()), frame)


def test_a_model_of_columns_takes_an_array_of_as_many() -> None:
    model, (frame, _) = pipeline(), flowers()
    np.testing.assert_allclose(probabilities(teacher(model), frame.to_numpy()), model.predict_proba(frame), atol=1e-6)
    with pytest.raises(RejectedError, match="fitted on 4 columns, the rows have 3"):
        probabilities(teacher(model), frame.to_numpy()[:, :3])


def test_a_model_of_vectors_takes_images_and_frames() -> None:
    frame, names = flowers()
    model = DecisionTreeClassifier(max_depth=2).fit(frame.to_numpy(), names)
    truth = model.predict_proba(frame.to_numpy())
    for raw in (frame, frame.to_numpy().reshape(-1, 2, 2)):
        np.testing.assert_allclose(probabilities(teacher(model), raw), truth, atol=1e-5)


def test_texts_and_gaps_reach_a_pipeline_that_takes_them() -> None:
    frame = pd.DataFrame({"age": [31.0, 62.0, np.nan, 48.0], "sex": ["f", "m", None, "f"]})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["sex"]), remainder="drop")
    model = make_pipeline(encoder, LogisticRegression()).fit(frame, ["well", "ill", "well", "ill"])
    np.testing.assert_allclose(
        probabilities(teacher(model, ("well", "ill")), frame), model.predict_proba(frame)[:, ::-1], atol=1e-6
    )


def test_a_text_pipeline_is_given_texts() -> None:
    texts = np.array(["good tea", "stale tea", "good cake", "stale bread"], object)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    told = probabilities(teacher(model, ("bad", "good")), texts)
    np.testing.assert_allclose(told, model.predict_proba(texts), atol=1e-6)


def test_a_class_the_model_never_met_gets_no_probability_and_a_warning() -> None:
    frame, names = flowers()
    model = LogisticRegression().fit(frame[:100], names[:100])
    with pytest.warns(UserWarning, match="does not know 1 of the data's 3 classes: 'virginica'"):
        told = probabilities(teacher(model), frame)
    np.testing.assert_allclose(told[:, :2], model.predict_proba(frame), atol=1e-5)
    assert told[:, 2].max() <= 1.1e-6


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), "LogisticRegression is not fitted yet"),
        (LinearSVC().fit([[0.0], [1.0]], [0, 1]), "no `predict_proba`.*CalibratedClassifierCV"),
        (LogisticRegression().fit([[0.0], [1.0]], ["setosa", "rose"]), "do not have: 'rose'"),
        (RandomForestClassifier(2).fit([[0.0], [1.0]], [[0, 1], [1, 0]]), "knows|targets"),
    ],
)
def test_a_model_that_cannot_teach_these_classes_is_refused(model: Any, message: str) -> None:
    with pytest.raises(RejectedError, match=message):
        probabilities(teacher(model, ("setosa", "tulip")), np.zeros((2, 1)))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(4, 3), "torch module"),
        (42, "cannot be asked"),
        (LogisticRegression, "is a class, not a fitted model"),
    ],
)
def test_what_cannot_be_asked_is_a_mistake_of_usage(model: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        teacher(model)


def test_a_model_with_its_own_idea_of_fitting_is_believed() -> None:
    class Constant:
        def predict_proba(self, rows: np.ndarray) -> np.ndarray:
            return np.tile([0.2, 0.3, 0.5], (len(rows), 1))

        def predict(self, rows: np.ndarray) -> np.ndarray:
            return np.full(len(rows), 2)

    assert probabilities(teacher(Constant()), np.zeros((2, 4)))[1] == pytest.approx([0.2, 0.3, 0.5])


def test_the_answers_to_a_probe_tell_two_equal_functions_apart(tmp_path: Path) -> None:
    place = tmp_path / "share.txt"

    def ask(raw: np.ndarray) -> np.ndarray:
        share = float(place.read_text())
        return np.tile([share, 1 - share], (len(raw), 1))

    prints = []
    for share in ("0.5", "0.75", "0.5"):
        place.write_text(share)
        prints.append(
            from_object(ask, CLASSIFICATION, named(("a", "b")), decode=no_decoding, probe=np.zeros(2)).fingerprint()
        )
    assert prints[0] == prints[2] != prints[1]


def test_learned_numbers_are_counted() -> None:
    frame, names = flowers()
    tree = DecisionTreeClassifier(max_depth=3).fit(frame, names)
    forest = RandomForestClassifier(3).fit(frame, names)
    assert teacher(pipeline()).parameters == 4 * 3 + 3
    assert teacher(tree).parameters == tree.tree_.node_count
    assert teacher(forest).parameters == sum(each.tree_.node_count for each in forest.estimators_)


def test_a_skops_file_answers_as_what_was_written_into_it(tmp_path: Path) -> None:
    model, (frame, _) = pipeline(), flowers()
    skops.io.dump(model, tmp_path / "model.skops")
    loaded = load_fitted(tmp_path / "model.skops", CLASSIFICATION, named(FLOWERS[::-1]), decode=no_decoding)
    np.testing.assert_allclose(probabilities(loaded, frame), model.predict_proba(frame)[:, ::-1], atol=1e-6)
    again = load_fitted(tmp_path / "model.skops", CLASSIFICATION, named(FLOWERS[::-1]), decode=no_decoding)
    assert loaded.fingerprint() == again.fingerprint()


def test_a_skops_file_with_types_nobody_vouches_for_is_refused_and_they_are_named(tmp_path: Path) -> None:
    frame, names = flowers()
    place = tmp_path / "model.skops"
    model = make_pipeline(FunctionTransformer(exec_like), DecisionTreeClassifier(max_depth=2)).fit(frame, names)
    skops.io.dump(model, place)
    with pytest.raises(RejectedError, match=r"does not trust: .*exec_like"):
        load_fitted(place, CLASSIFICATION, named(FLOWERS), decode=no_decoding)
    vouched = skops.io.get_untrusted_types(file=place)
    loaded = load_fitted(place, CLASSIFICATION, named(FLOWERS), decode=no_decoding, trusted=vouched)
    np.testing.assert_allclose(probabilities(loaded, frame), model.predict_proba(frame), atol=1e-5)


def exec_like(rows: Any) -> Any:
    """Stands for code that a file would bring along."""
    return rows


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return (exploded.append, (1,))


exploded: list[int] = []


@pytest.mark.parametrize(
    "name", ["m.pkl", "m.joblib", "m.pickle", "m.txt", "m.onnx", "m.skops", "m.cbm", "m.json", "m.bin"]
)
@pytest.mark.fault("C24", "a pickle, whatever its name", exit=4)
def test_a_pickle_is_never_opened_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RejectedError, match=r"is a pickle.*hand the loaded model over in Python"):
        load_fitted(tmp_path / name, CLASSIFICATION, named(FLOWERS), decode=no_decoding)
    assert not exploded


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.bin"])
def test_torch_files_are_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / name)
    with pytest.raises(RejectedError, match="safetensors"):
        load_fitted(tmp_path / name, CLASSIFICATION, named(FLOWERS), decode=no_decoding)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("m.h5", b"\x89HDF", UsageError, "names no known kind"),
        ("m.txt", b"sepal,petal\n1,2\n", RejectedError, "does not begin as a .txt file"),
        ("m.cbm", b"{}", RejectedError, "does not begin as a .cbm file"),
        ("m.skops", b"PK\x03\x04 and then nothing", RejectedError, "cannot be read as a skops file"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(
    tmp_path: Path, name: str, content: bytes, error: type[Exception], message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        load_fitted(tmp_path / name, CLASSIFICATION, named(FLOWERS), decode=no_decoding)


def test_a_file_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file .*model\.cbm"):
        load_fitted(tmp_path / "model.cbm", CLASSIFICATION, named(FLOWERS), decode=no_decoding)


def test_a_failing_model_names_the_rows() -> None:
    frame, _ = flowers()
    with pytest.raises(RejectedError, match=r"3 training rows \(numbers 5, 6, 7\): ValueError.*NaN"):
        teacher(pipeline()).outputs(rows_of(frame[:3].assign(**{"petal width (cm)": np.nan}), 5))
