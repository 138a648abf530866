"""Any ONNX file as a black box, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.files import add_contents
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.fitted.child import PATIENCE
from stillhouse.teachers.fitted.onnx_inputs import feed, refuse_inputs
from stillhouse.teachers.fitted.onnx_seen import Seen, see
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, Decode, FittedTeacher
from stillhouse.teachers.protocol import FLOATS, Port


class OnnxTeacher(FittedTeacher):
    """An ONNX file that takes raw rows; one thread a session.

    The file is parsed, checked and tried in a child process first. Several scalar inputs are the columns of a table, by
    name; a single one gets rows as vectors, images in the order of axes that it asks for, or texts. The output is found
    by its name (``task.teachers.onnx_outputs``), else it is the only one that fits the task's outputs.

    Args:
        path: of the ``.onnx`` file; its external data must lie in the file's own folder.
        task: of the run.
        spec: of the outputs; its names are matched with those in the file, where it gives any.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        output: name of the output that holds the answers; None: detected.
        kind: what it holds, as the task calls it; None: as its name says, else detected at the first answers.
        patience: seconds of computing the child process may take.

    Raises:
        UsageError: no such file or output, or onnxruntime is not installed.
        RejectedError: the file is damaged or hostile, needs custom operators, or gives other outputs.
    """

    def __init__(
        self,
        path: Path,
        task: Task,
        spec: OutputSpec,
        *,
        decode: Decode,
        output: str | None = None,
        kind: str | None = None,
        patience: int = PATIENCE,
    ) -> None:
        self.seen = see(path, patience=patience)
        port = choose_output(self.seen, task, spec, output)
        refuse_inputs(self.seen)
        model = Onnx(path, self.seen, port)
        fixed = self.seen.inputs[0].shape[:1] or (None,)
        super().__init__(
            model,
            task.teachers.read(spec, kind or task.teachers.onnx_outputs.get(port.name), self.seen.labels),
            spec.shape,
            identity=xxhash.xxh3_128_hexdigest(f"{self.seen.digest} {port.name} {kind} {model.version}".encode()),
            decode=decode,
            parameters=self.seen.parameters,
            nbytes=sum(file.stat().st_size for file in (path, *(path.parent / name for name in self.seen.external))),
            batch_rows=fixed[0] or BATCH_ROWS,
        )


class Onnx:
    """A session, from raw rows to one of its outputs."""

    def __init__(self, path: Path, seen: Seen, output: Port) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.version: str = onnxruntime.__version__
        if digest(path, seen.external) != seen.digest:
            raise RejectedError(f"{path} was changed while it was being opened. Run the same command again.")
        self.inputs, self.output = seen.inputs, output

    def __call__(self, raw: Any) -> Any:
        """The answers to B rows: float64 (B, ...), or a list of B maps."""
        fixed = self.inputs[0].shape[0] if self.inputs[0].shape else None
        missing = max((fixed or 0) - len(raw), 0)  # a graph for 8 rows gets 8: the last one again and again
        given = {name: repeat_last(array, missing) for name, array in feed(self.inputs, raw).items()}
        (answer,) = self.session.run([self.output.name], given)
        return answer[: len(raw)] if self.output.type not in FLOATS else np.asarray(answer, np.float64)[: len(raw)]


def choose_output(seen: Seen, task: Task, spec: OutputSpec, wanted: str | None) -> Port:
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
    fitting = {port.name: port for port in seen.outputs if task.teachers.fits_port(port, spec)}
    for name in task.teachers.onnx_outputs:
        if name in fitting:
            return fitting[name]
    if len(fitting) != 1:
        raise RejectedError(
            f"This ONNX file has {len(fitting) or 'no'} outputs that could be the answers of {spec.width} numbers a "
            f"row ({seen.describe()}). Name the right one by output = '...', or give the teacher of these outputs."
        )
    return next(iter(fitting.values()))


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
