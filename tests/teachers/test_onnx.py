"""ONNX files as teachers: exported nets and hand-made graphs give what their own mathematics gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import helper
from torch import nn

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.fitted.files import load_fitted
from stillhouse.teachers.fitted.onnx import OnnxTeacher
from tests.teachers.asking import no_decoding, probabilities
from tests.teachers.onnx_files import CLASSES, FLOAT, INT, STRING, value, write
from tests.teachers.tasks import CLASSIFICATION, named

W = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)  # of the linear classifiers below
ROWS = np.random.default_rng(1).normal(size=(5, 4))


def linear(labels: dict[str, Any]) -> onnx.NodeProto:
    """scikit-learn's logistic regression as its converter writes it."""
    return helper.make_node(
        "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", coefficients=W.ravel().tolist(),
        intercepts=[0.0] * 3, multi_class=0, post_transform="SOFTMAX", **labels,
    )  # fmt: skip


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def teacher(place: Path, classes: Sequence[str] = CLASSES, **settings: Any) -> OnnxTeacher:
    return OnnxTeacher(place, CLASSIFICATION, named(classes), decode=no_decoding, **settings)


def test_an_exported_net_answers_as_the_net_does_on_images_in_either_order_of_axes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 3)).eval()
    images = torch.rand(5, 3, 6, 6)
    place = tmp_path / "net.onnx"
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(net, (images[:2],), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    program.save(str(place))
    truth = net(images).softmax(-1).detach().numpy()
    loaded = load_fitted(place, CLASSIFICATION, named(CLASSES), decode=no_decoding)
    np.testing.assert_allclose(probabilities(loaded, images.numpy()), truth, atol=1e-6)
    np.testing.assert_allclose(probabilities(loaded, images.permute(0, 2, 3, 1).numpy()), truth, atol=1e-6)
    assert loaded.parameters >= sum(p.numel() for p in net.parameters())
    with pytest.raises(RejectedError, match=r"the rows have the shape \(5, 3, 5, 6\)"):
        probabilities(loaded, images[:, :, 1:].numpy())


def test_maps_of_probabilities_are_matched_by_the_names_in_them(tmp_path: Path) -> None:
    zipped = helper.make_node(
        "ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", classlabels_strings=["cat", "ant", "bee"]
    )
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(FLOAT, None))
    )
    outputs = [value("label", STRING, None), helper.make_value_info("output_probability", kind)]
    nodes = [linear({"classlabels_strings": ["cat", "ant", "bee"]}), zipped]
    place = write(tmp_path / "zip.onnx", nodes, [value("x", FLOAT, None, 4)], outputs)
    truth = softmax(ROWS.astype(np.float32) @ W.T)[:, [1, 2, 0]]
    loaded = teacher(place)
    np.testing.assert_allclose(probabilities(loaded, ROWS), truth, atol=1e-6)
    frame = pd.DataFrame(ROWS, columns=pd.Index(list("abcd")))
    np.testing.assert_allclose(probabilities(loaded, frame), truth, atol=1e-6)
    assert loaded.parameters == W.size
    with pytest.raises(RejectedError, match="do not have: 'cat'"):
        teacher(place, ("ant", "bee", "dog"))


def test_a_table_s_columns_are_given_by_name_each_in_its_type(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["age"], ["years"], to=FLOAT),
        helper.make_node(
            "LabelEncoder", ["sex"], ["code"], domain="ai.onnx.ml", keys_strings=["f", "m"], values_floats=[0.0, 1.0]
        ),
        helper.make_node("Concat", ["years", "code", "dose"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    weights = np.arange(9, dtype=np.float32).reshape(3, 3) / 10
    inputs = [value("age", INT, None, 1), value("sex", STRING, None, 1), value("dose", FLOAT, None, 1)]
    w = helper.make_tensor("w", FLOAT, [3, 3], weights.ravel())
    place = write(tmp_path / "table.onnx", nodes, inputs, [value("probabilities", FLOAT, None, 3)], w)
    frame = pd.DataFrame({"dose": [0.5, 1.5], "name": ["x", "y"], "sex": ["m", "f"], "age": [3.0, 4.0]})
    truth = softmax(np.array([[3, 1, 0.5], [4, 0, 1.5]], np.float32) @ weights)
    loaded = teacher(place)
    np.testing.assert_allclose(probabilities(loaded, frame), truth, atol=1e-6)
    with pytest.raises(RejectedError, match=r"lack 1 of them: 'dose'\. Did you mean 'doses'"):
        probabilities(loaded, frame.rename(columns={"dose": "doses"}))
    with pytest.raises(RejectedError, match=r"whole numbers as 'age'.*at position 1, has 4\.5"):
        probabilities(loaded, frame.assign(age=[3.0, 4.5]))
    with pytest.raises(RejectedError, match=r"takes texts as 'sex'.*at position 0, has (None|nan)"):
        probabilities(loaded, frame.assign(sex=np.array([None, "f"], object)))


def test_texts_go_to_an_input_of_strings(tmp_path: Path) -> None:
    nodes = [
        helper.make_node(
            "LabelEncoder", ["text"], ["second"], domain="ai.onnx.ml", keys_strings=["good"], values_floats=[0.9],
            default_float=0.2,
        )
    ]  # fmt: skip
    place = write(tmp_path / "t.onnx", nodes, [value("text", STRING, None)], [value("second", FLOAT, None)])
    told = probabilities(teacher(place, ("bad", "good")), np.array(["good", "stale"], object))
    np.testing.assert_allclose(told, [[0.1, 0.9], [0.8, 0.2]], atol=1e-6)


def heads(tmp_path: Path) -> Path:
    """Two outputs of the right width, for exactly two rows: scores, and sigmoids of them."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["one"]),
        helper.make_node("Sigmoid", ["one"], ["other"]),
    ]
    w = helper.make_tensor("w", FLOAT, [4, 3], W.T.ravel())
    outputs = [value("one", FLOAT, 2, 3), value("other", FLOAT, 2, 3)]
    return write(tmp_path / "two.onnx", nodes, [value("x", FLOAT, 2, 4)], outputs, w)


def test_a_graph_for_two_rows_answers_any_number_and_what_cannot_be_guessed_is_asked(tmp_path: Path) -> None:
    place = heads(tmp_path)
    truth = softmax(ROWS.astype(np.float32) @ W.T)
    one = teacher(place, output="one")
    np.testing.assert_allclose(probabilities(one, ROWS), truth, atol=1e-6)
    with pytest.raises(RejectedError, match=r"has 2 outputs that could be .* Name the right one"):
        teacher(place)
    with pytest.raises(RejectedError, match=r"independent yes-or-no probabilities"):
        probabilities(teacher(place, output="other"), ROWS)
    with pytest.raises(UsageError, match=r"no output 'on'\. Did you mean 'one'"):
        teacher(place, output="on")
    assert one.fingerprint() != teacher(place, output="other").fingerprint()


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    place = write(
        tmp_path / "m.onnx",
        [linear({"classlabels_ints": [0, 1, 2]})],
        [value("x", FLOAT, None, 4)],
        [value("label", INT, None), value("scores", FLOAT, None, 3)],
    )
    with pytest.raises(RejectedError, match="no outputs that could be the answers of 2 numbers a row"):
        teacher(place, CLASSES[:2])
    with pytest.raises(RejectedError, match="fitted on 4 columns, the rows have 3"):
        probabilities(teacher(place), ROWS[:, :3])


def test_several_wide_inputs_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["ids", "mask"], ["logits"])]
    inputs = [value("ids", FLOAT, None, 3), value("mask", FLOAT, None, 3)]
    place = write(tmp_path / "m.onnx", nodes, inputs, [value("logits", FLOAT, None, 3)])
    with pytest.raises(RejectedError, match="cannot be asked about rows"):
        teacher(place)
