"""Any ONNX classifier as a black box, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.files import add_contents
from stillhouse.teachers.class_order import class_order, scatter
from stillhouse.teachers.fitted.child import PATIENCE
from stillhouse.teachers.fitted.onnx_inputs import feed, refuse_inputs
from stillhouse.teachers.fitted.onnx_seen import Port, Seen, see
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, Decode, Kind, RawTeacher

PROBABILITIES = ("probabilities", "output_probability", "probability")
LOGITS = ("logits", "scores")
FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")
MAPS = "seq(map("


class OnnxTeacher(RawTeacher):
    """An ONNX classifier that takes raw rows; one thread a session.

    The file is parsed, checked and tried in a child process first. Several scalar inputs are the columns of a table, by
    name; a single one gets rows as vectors, images in the order of axes that it asks for, or texts. The output is found
    by its name (``probabilities``, ``output_probability``, ``logits``), else it is the only one of the right width.

    Args:
        path: of the ``.onnx`` file; its external data must lie in the file's own folder.
        classes: names of the data's classes, in order; matched with the names in the file, where it gives any.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        output: name of the output that holds the answers; None: found by looking.
        kind: what it holds; None: said by its name, else by whether the rows of the first batch add up to 1.
        patience: seconds of computing the child process may take.

    Raises:
        UsageError: no such file or output, or onnxruntime is not installed.
        RejectedError: the file is damaged or hostile, needs custom operators, or answers other classes.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[str],
        *,
        decode: Decode,
        output: str | None = None,
        kind: Kind | None = None,
        patience: int = PATIENCE,
    ) -> None:
        self.seen = see(path, patience=patience)
        port = choose_output(self.seen, len(classes), output)
        refuse_inputs(self.seen)
        model = Onnx(path, self.seen, port, classes)
        named: Kind | None = "probabilities" if port.name in PROBABILITIES or port.type.startswith(MAPS) else None
        fixed = self.seen.inputs[0].shape[:1] or (None,)
        super().__init__(
            model,
            len(classes),
            identity=xxhash.xxh3_128_hexdigest(f"{self.seen.digest} {port.name} {kind} {model.version}".encode()),
            decode=decode,
            parameters=self.seen.parameters,
            nbytes=sum(file.stat().st_size for file in (path, *(path.parent / name for name in self.seen.external))),
            kind=kind or named or ("logits" if port.name in LOGITS else None),
            batch_rows=fixed[0] or BATCH_ROWS,
        )


class Onnx:
    """A session, from raw rows to one output (B, C) in the data's order."""

    def __init__(self, path: Path, seen: Seen, output: Port, classes: Sequence[str]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.version: str = onnxruntime.__version__
        if digest(path, seen.external) != seen.digest:
            raise RejectedError(f"{path} was changed while it was being opened. Run the same command again.")
        self.inputs, self.output, self.classes = seen.inputs, output, classes
        self.order = class_order(seen.labels, classes) if seen.labels else np.arange(len(classes))

    def __call__(self, raw: Any) -> NDArray[np.float64]:
        """Answers float64 (B, C), or (B, 1) of the second of two classes."""
        fixed = self.inputs[0].shape[0] if self.inputs[0].shape else None
        missing = max((fixed or 0) - len(raw), 0)  # a graph for 8 rows gets 8: the last one again and again
        given = {name: repeat_last(array, missing) for name, array in feed(self.inputs, raw).items()}
        (answer,) = self.session.run([self.output.name], given)
        if self.output.type.startswith(MAPS):
            return self.from_maps(answer)[: len(raw)]
        values = np.asarray(answer, np.float64)[: len(raw)]
        return scatter(values, self.order, len(self.classes)) if values.shape[1:] == self.order.shape else values

    def from_maps(self, answer: list[dict[Any, float]]) -> NDArray[np.float64]:
        """A sequence of maps from class to probability, as scikit-learn converters write it."""
        names = list(answer[0]) if answer else []
        values = np.array([[row[name] for name in names] for row in answer], np.float64).reshape(len(answer), -1)
        return scatter(values, class_order(names, self.classes), len(self.classes))


def choose_output(seen: Seen, classes: int, wanted: str | None) -> Port:
    """The output that holds the answers.

    Raises:
        UsageError: there is no output of the wanted name.
        RejectedError: none fits, or several do; lists them.
    """
    by_name = {port.name: port for port in seen.outputs}
    if wanted is not None:
        if wanted not in by_name:
            raise UsageError(f"This ONNX file has no output {wanted!r}.{nearest(wanted, by_name)}")
        return by_name[wanted]
    for name in (*PROBABILITIES, *LOGITS):
        if name in by_name and (fits(by_name[name], classes) or by_name[name].type.startswith(MAPS)):
            return by_name[name]
    fitting = [port for port in seen.outputs if fits(port, classes) or port.type.startswith(MAPS)]
    if len(fitting) != 1:
        raise RejectedError(
            f"This ONNX file has {len(fitting) or 'no'} outputs that could be the answers for {classes} classes "
            f"({seen.describe()}). Name the right one by output = '...', or give the teacher of these classes."
        )
    return fitting[0]


def fits(port: Port, classes: int) -> bool:
    """Whether an output can be floats (B, C), or (B, 1) and (B,) for two classes; unknown sizes may fit."""
    if port.type not in FLOATS or len(port.shape) not in (1, 2):
        return False
    width = port.shape[1] if len(port.shape) == 2 else 1
    return width is None or width == classes or (width == 1 and classes == 2)


def repeat_last(array: NDArray[Any], count: int) -> NDArray[Any]:
    """An array with its last row ``count`` times more."""
    return np.concatenate([array, np.repeat(array[-1:], count, axis=0)]) if count and len(array) else array


def digest(path: Path, external: Sequence[str]) -> str:
    """Hash of a file and its external data, as the child process makes it."""
    state = xxhash.xxh3_128()
    add_contents(state, path)
    for name in external:
        state.update(name.encode())
        add_contents(state, path.parent / name)
    return state.hexdigest()
