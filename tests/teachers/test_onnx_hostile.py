"""ONNX files that are damaged, or made to do harm, end in an error that says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from stillhouse.errors import RejectedError, UsageError
from stillhouse.teachers.fitted.child import ask_child
from stillhouse.teachers.fitted.onnx import OnnxTeacher, see
from stillhouse.teachers.fitted.onnx_child import RefusedError, examine
from tests.teachers.asking import no_decoding
from tests.teachers.onnx_files import CLASSES, FLOAT, value, write
from tests.teachers.tasks import CLASSIFICATION, named

BYTES = 4 * 3 * 4  # of the weights below


def outside(name: str, **entries: Any) -> TensorProto:
    """Weights (4, 3) that lie in another file."""
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[4, 3], data_location=TensorProto.EXTERNAL)
    for key, entry in {"location": name, "offset": 0, "length": BYTES, **entries}.items():
        tensor.external_data.add(key=key, value=str(entry))
    return tensor


def net(folder: Path, weights: TensorProto) -> Path:
    """A linear net in its own folder, beside a file of weights, with another outside."""
    folder.mkdir(exist_ok=True)
    for place in (folder / "w.bin", folder.parent / "secret.bin"):
        np.arange(12, dtype=np.float32).tofile(place)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["logits"])]
    return write(folder / "m.onnx", nodes, [value("x", FLOAT, None, 4)], [value("logits", FLOAT, None, 3)], weights)


def test_external_data_in_the_file_s_own_folder_are_read_and_count_for_the_fingerprint(tmp_path: Path) -> None:
    place = net(tmp_path / "m", outside("w.bin"))
    prints = []
    for scale in (1, 2):
        (np.arange(12, dtype=np.float32) * scale).tofile(place.with_name("w.bin"))
        prints.append(OnnxTeacher(place, CLASSIFICATION, named(CLASSES), decode=no_decoding).fingerprint())
    assert prints[0] != prints[1]


@pytest.mark.parametrize("name", ["../secret.bin", "sub/../../secret.bin", "..\\secret.bin", "", "*/_ORT_MEM_ADDR_/*"])
@pytest.mark.fault("C25", "an ONNX file that names data outside its folder", exit=4)
def test_external_data_outside_the_folder_are_never_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match="not inside the file's folder"):
        examine(net(tmp_path / "m", outside(name)))


def test_an_absolute_path_is_not_followed_even_into_the_folder(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="not inside the file's folder"):
        examine(net(tmp_path / "m", outside(str(tmp_path / "m" / "w.bin"))))


@pytest.mark.parametrize("through_a_folder", [False, True])
def test_a_link_that_leads_out_is_not_followed(tmp_path: Path, through_a_folder: bool) -> None:
    place = net(tmp_path / "m", outside("out/secret.bin" if through_a_folder else "link.bin"))
    link = place.with_name("out" if through_a_folder else "link.bin")
    link.symlink_to(tmp_path if through_a_folder else tmp_path / "secret.bin")
    with pytest.raises(RefusedError, match="a link that leads out of the folder"):
        examine(place)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (outside("other.bin"), "there is no such file"),
        (outside("w.bin", offset=16), "needs 64 bytes of 'w.bin', which has 48"),
        (outside("w.bin", offset="many"), "no number as offset"),
    ],
)
def test_external_data_that_are_missing_or_short_are_named(tmp_path: Path, weights: TensorProto, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        examine(net(tmp_path / "m", weights))


def test_weights_hidden_in_a_branch_are_found(tmp_path: Path) -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "then", [], [value("y", FLOAT, 4, 3)],
                              [outside("../secret.bin")])  # fmt: skip
    nodes = [helper.make_node("If", ["x"], ["logits"], then_branch=inner, else_branch=inner)]
    place = write(tmp_path / "m.onnx", nodes, [value("x", TensorProto.BOOL, 1)], [value("logits", FLOAT, 4, 3)])
    with pytest.raises(RefusedError, match="not inside the file's folder"):
        examine(place)


def test_operators_of_a_library_that_is_not_here_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shell", ["x"], ["logits"], domain="evil"), helper.make_node("EPContext", [], ["y"])]
    place = write(tmp_path / "m.onnx", nodes, [value("x", FLOAT, None, 3)], [value("logits", FLOAT, None, 3)])
    with pytest.raises(RefusedError, match=r"custom operators \.EPContext, evil\.Shell"):
        examine(place)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x08\x08\x12\x00"])
@pytest.mark.fault("C25", "a file that is no ONNX file, or is cut short", exit=4)
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(RefusedError, match="not an ONNX file, or was truncated"):
        examine(tmp_path / "m.onnx")


def test_a_file_cut_short_is_refused_by_its_name(tmp_path: Path) -> None:
    place = net(tmp_path / "m", helper.make_tensor("w", FLOAT, [4, 3], np.arange(12.0)))
    place.write_bytes(place.read_bytes()[:-40])
    with pytest.raises(RejectedError, match=r"m\.onnx cannot be a teacher: .*truncated"):
        see(place)


def test_a_graph_that_contradicts_the_standard_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "nowhere"], ["logits"])]
    place = write(tmp_path / "m.onnx", nodes, [value("x", FLOAT, None, 4)], [value("logits", FLOAT, None, 3)])
    with pytest.raises(RefusedError, match="no valid ONNX graph"):
        examine(place)


def test_a_file_that_is_not_there_is_a_mistake_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no file .*m\.onnx"):
        see(tmp_path / "m.onnx")


def program(tmp_path: Path, text: str) -> Path:
    place = tmp_path / "program.py"
    place.write_text(text)
    return place


@pytest.mark.fault("C25", "a file that kills its reader", exit=4)
def test_a_file_that_kills_its_reader_kills_the_child_alone(tmp_path: Path) -> None:
    before = os.getpid()
    with pytest.raises(RejectedError, match=r"f\.onnx cannot be a teacher: the process .* died with status -6"):
        ask_child(program(tmp_path, "import os; os.abort()"), tmp_path / "f.onnx")
    assert os.getpid() == before


def test_a_file_that_never_ends_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="took longer than 1 seconds of computing and was stopped"):
        ask_child(program(tmp_path, "while True: pass"), tmp_path / "f.onnx", patience=1)


@pytest.mark.slow
@pytest.mark.fault("E25", "an ONNX graph that never ends", exit=4)
def test_a_loop_without_end_in_a_graph_is_stopped(tmp_path: Path) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["a"], ["b"])], "body",
        [value("i", TensorProto.INT64), value("go", TensorProto.BOOL), value("a", FLOAT, None, 3)],
        [value("on", TensorProto.BOOL), value("b", FLOAT, None, 3)],
    )  # fmt: skip
    nodes = [helper.make_node("Loop", ["", "yes", "x"], ["logits"], body=body)]
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    place = write(tmp_path / "m.onnx", nodes, [value("x", FLOAT, None, 3)], [value("logits", FLOAT, None, 3)], yes)
    onnx.checker.check_model(place)
    with pytest.raises(RejectedError, match="took longer than 20 seconds of computing"):
        see(place, patience=20)
