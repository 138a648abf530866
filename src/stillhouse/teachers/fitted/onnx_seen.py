"""What is known of an ONNX file before it is opened here: asked of a child process."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.errors import UsageError
from stillhouse.teachers.fitted.child import PATIENCE, ask_child
from stillhouse.teachers.protocol import Port

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

    Args:
        path: of the file.
        patience: seconds of computing the child may take.
        program: what the child runs.

    Raises:
        UsageError: there is no such file, or onnx or onnxruntime is not installed.
        RejectedError: the file is damaged, hostile, or reads data outside its folder; says which.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Name the teacher's ONNX file.")
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"An ONNX teacher needs the package {package!r}: `pip install 'stillhouse[onnx]'`.")
    found = ask_child(program, path, patience=patience)
    ports = {
        side: tuple(Port(p["name"], p["type"], tuple(p["shape"])) for p in found[side])
        for side in ("inputs", "outputs")
    }
    return Seen(
        found["digest"], found["opsets"], tuple(found["labels"]), found["parameters"], tuple(found["external"]),
        ports["inputs"], ports["outputs"], found["tried"],
    )  # fmt: skip
