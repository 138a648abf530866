"""Any ONNX file as a teacher, run by ONNX Runtime once a child process has looked at it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xxhash

from stillhouse.errors import RejectedError, UsageError, nearest
from stillhouse.extras import is_installed, missing
from stillhouse.files import add_contents
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.fitted.child import PATIENCE, ask_child
from stillhouse.teachers.fitted.onnx_inputs import feed, fits_inputs
from stillhouse.teachers.fitted.teacher import BATCH_ROWS, Decode, FittedTeacher
from stillhouse.teachers.protocol import FLOATS, Port

CHILD = Path(__file__).with_name("onnx_child.py")


class Seen(NamedTuple):
    """A file that was parsed, checked against the standard, opened and tried."""

    digest: str  # of the file and its external data
    opsets: dict[str, int]  # version of each operator set, by domain
    labels: tuple[Any, ...]  # class names the file gives, in the order of its columns; empty: none
    parameters: int  # learned numbers
    external: tuple[str, ...]  # files of external data, relative to the folder
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    tried: bool  # it took rows of noise

    def describe(self) -> str:
        """Operator sets, inputs and outputs, for a message."""
        opsets = ", ".join(f"{domain} {version}" for domain, version in self.opsets.items())
        inputs, outputs = (", ".join(map(str, ports)) for ports in (self.inputs, self.outputs))
        return f"operators {opsets}; inputs {inputs}; outputs {outputs}"


def see(path: Path, *, patience: int = PATIENCE, program: Path = CHILD) -> Seen:
    """Look at an ONNX file in a child process, which alone dies of a file that crashes or never ends.

    Raises:
        UsageError: there is no such file, or onnx or onnxruntime is not installed.
        RejectedError: the file is damaged, hostile, or reads data outside its folder; says which.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Name the teacher's ONNX file.")
    for package in ("onnx", "onnxruntime"):
        if not is_installed(package):  # the child imports it, not this process
            raise missing(package, "An ONNX teacher")
    found = ask_child(program, path, patience=patience)
    ports = {
        side: tuple(Port(p["name"], p["type"], tuple(p["shape"])) for p in found[side])
        for side in ("inputs", "outputs")
    }
    return Seen(
        found["digest"], found["opsets"], tuple(found["labels"]), found["parameters"], tuple(found["external"]),
        ports["inputs"], ports["outputs"], found["tried"],
    )  # fmt: skip


class OnnxTeacher(FittedTeacher):
    """An ONNX file that takes raw rows; one thread a session.

    The file is parsed, checked and tried in a child process first. Several scalar inputs are the columns of a table, by
    name; a single one gets rows as vectors, images in the order of axes that it asks for, or texts. The output is found
    by its name (``task.teachers.onnx_outputs``), else it is the only one that fits the task's outputs.

    Args:
        path: of the ``.onnx`` file; its external data must be in the same folder.
        task: of the run.
        spec: of the outputs; its names are matched with those in the file, where it gives any.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        output: name of the output that holds the answers; None: detected.
        kind: what it holds, as the task calls it; None: as its name says, else detected.
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
        if not fits_inputs(self.seen.inputs):
            raise RejectedError(
                f"This ONNX file cannot be asked about rows ({self.seen.describe()}). A teacher has one input of "
                "numbers or texts for a whole row, or one of the shape (rows, 1) for each column of a table."
            )
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
        rows = np.minimum(
            np.arange(max(fixed or 0, len(raw))), len(raw) - 1
        )  # a graph for 8 rows gets 8: the last again
        given = {name: array[rows] for name, array in feed(self.inputs, raw).items()}
        (answer,) = self.session.run([self.output.name], given)
        return answer[: len(raw)] if self.output.type not in FLOATS else np.asarray(answer, np.float64)[: len(raw)]


def choose_output(seen: Seen, task: Task, spec: OutputSpec, wanted: str | None) -> Port:
    """The output that holds the answers; refuses a name that is not there, and a choice that is not clear."""
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


def digest(path: Path, external: Sequence[str]) -> str:
    """Hash of a file and its external data, the same as in the child process."""
    state = xxhash.xxh3_128()
    add_contents(state, path)
    for name in external:
        state.update(name.encode())
        add_contents(state, path.parent / name)
    return state.hexdigest()
