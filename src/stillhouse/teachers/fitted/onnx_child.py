"""Looks at an ONNX file in a process of its own, so that a hostile or damaged one takes nothing else down.

Run as a program, ``python -P onnx_child.py FILE``; writes one line of JSON: ``{"refused": why}``, or a description
(``Seen`` in ``onnx.py`` names its entries). It imports nothing of this package, which would cost it seconds.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
import onnxruntime
import xxhash

DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}  # what ONNX Runtime brings along
COMPILED = "EPContext"  # an operator that is a compiled program, or names a file that holds one
IN_MEMORY = "_ORT_MEM_ADDR_"  # a location by which ONNX Runtime means an address of the process
LARGEST = (1 << 31) - 1  # bytes of one protobuf message
TRIAL_ROWS = 2
CHUNK = 1 << 20  # bytes of a file in memory at once
NUMPY = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}  # fmt: skip


class RefusedError(Exception):
    """The file cannot be a teacher; the text goes into the middle of a message."""


def examine(path: Path) -> dict[str, Any]:
    """Parse, check, open and try the file.

    Raises:
        RefusedError: says which of these fails.
    """
    data = path.read_bytes()
    model = parse(data)
    messages = list(walk(model))
    tensors = [m for m in messages if isinstance(m, onnx.TensorProto)]
    external = sorted({location(path, t) for t in tensors if t.data_location == onnx.TensorProto.EXTERNAL})
    refuse_foreign_operators(model, [m for m in messages if isinstance(m, onnx.NodeProto)])
    check_graph(path)
    digest = xxhash.xxh3_128(data)
    for name in external:
        digest.update(name.encode())
        add_file(digest, path.parent / name)
    return {
        "digest": digest.hexdigest(),
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "labels": labels(model),
        "parameters": sum(math.prod(t.dims) for t in tensors) + sum(map(coefficients, messages)),
        "external": external,
        **opened(path),
    }


def add_file(digest: xxhash.xxh3_128, path: Path) -> None:
    """Hash a file's bytes, a piece at a time."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)


def parse(data: bytes) -> onnx.ModelProto:
    """The message a file holds, external data not read."""
    if len(data) > LARGEST:
        raise RefusedError("it is larger than 2 GiB, which no ONNX file can be; weights belong in external data")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's own error, whose package is not ours to name
        raise RefusedError("it is not an ONNX file, or was truncated") from None
    if not model.graph.node:
        raise RefusedError("it holds no graph: it is not an ONNX file, or was truncated")
    return model


def walk(message: Any) -> Iterator[Any]:
    """A message and all messages inside it: subgraphs, functions, training graphs, sparse tensors."""
    waiting = [message]
    while waiting:
        found = waiting.pop()
        yield found
        for field, value in found.ListFields():
            if field.message_type is not None:
                waiting.extend(value if field.is_repeated else [value])


def location(path: Path, tensor: onnx.TensorProto) -> str:
    """Where a tensor's external data lie, relative to the file's folder.

    Raises:
        RefusedError: not in that folder, not a file, or shorter than the tensor says.
    """
    entries: dict[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    name = entries.get("location", "")
    pure = PurePosixPath(name.replace("\\", "/"))
    if not name or pure.is_absolute() or ".." in pure.parts or ":" in name or "\0" in name or IN_MEMORY in name:
        raise RefusedError(
            f"its tensor {tensor.name!r} keeps its data in {name!r}, which is not inside the file's folder"
        )
    place, folder = path.parent / name, path.parent.resolve()
    if not place.resolve().is_relative_to(folder):
        raise RefusedError(
            f"its tensor {tensor.name!r} keeps its data in {name!r}, a link that leads out of the folder"
        )
    if not place.is_file():
        raise RefusedError(
            f"its tensor {tensor.name!r} keeps its data in {name!r}, and there is no such file beside it"
        )
    try:
        end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
    except ValueError:
        raise RefusedError(f"its tensor {tensor.name!r} gives no number as offset or length of its data") from None
    if end > place.stat().st_size:
        raise RefusedError(
            f"its tensor {tensor.name!r} needs {end} bytes of {name!r}, which has {place.stat().st_size}"
        )
    return name


def refuse_foreign_operators(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """Refuse operators that neither ONNX Runtime brings along nor the file defines out of such."""
    own = {(function.domain, function.name) for function in model.functions}
    foreign = sorted(
        {
            f"{node.domain}.{node.op_type}"
            for node in nodes
            if (node.domain not in DOMAINS and (node.domain, node.op_type) not in own) or node.op_type == COMPILED
        }
    )
    if foreign:
        raise RefusedError(
            f"it needs the custom operators {', '.join(foreign)}, which are code of a library that is not loaded here"
        )


def check_graph(path: Path) -> None:
    """Check the file against the ONNX standard."""
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # its errors are of several kinds
        raise RefusedError(f"it is no valid ONNX graph ({first_line(error)})") from None


def labels(model: onnx.ModelProto) -> list[Any]:
    """Class names a file gives, in the order of its columns; empty where it gives none.

    They stand in the metadata (our own exports), in the node that makes maps of probabilities, or in the classifier.
    """
    for entry in model.metadata_props:
        if entry.key == "classes":
            try:
                named = json.loads(entry.value)
            except ValueError:
                break
            if isinstance(named, list):
                return named
    for wanted in (("ZipMap",), ("LinearClassifier", "TreeEnsembleClassifier", "SVMClassifier")):
        for node in model.graph.node:
            if node.op_type in wanted:
                found = named_labels(node)
                if found:
                    return found
    return []


def named_labels(node: onnx.NodeProto) -> list[Any]:
    """Class labels among the attributes of a node."""
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels_") and attribute.strings:
            return [text.decode(errors="replace") for text in attribute.strings]
        if attribute.name.startswith("classlabels_") and attribute.ints:
            return list(attribute.ints)
    return []


def coefficients(message: Any) -> int:
    """Learned numbers of a classical model: tree nodes, coefficients."""
    counted = ("nodes_treeids", "coefficients")
    if isinstance(message, onnx.AttributeProto) and message.name in counted:
        return len(message.ints) + len(message.floats)
    return 0


def opened(path: Path) -> dict[str, Any]:
    """Inputs and outputs as ONNX Runtime sees them, and a trial of two rows of noise, for what it does to a process."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base below Exception
        raise RefusedError(f"ONNX Runtime does not run it ({first_line(error)})") from None
    ports = {
        side: [{"name": p.name, "type": p.type, "shape": [d if isinstance(d, int) else None for d in p.shape or []]}
               for p in found]
        for side, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }  # fmt: skip
    random = np.random.default_rng(0)
    try:
        session.run(None, {port["name"]: noise(port, random) for port in ports["inputs"]})
    except Exception:  # noise may be no apt input (a category that is none); the real rows will tell
        return {**ports, "tried": False}
    return {**ports, "tried": True}


def noise(port: dict[str, Any], random: np.random.Generator) -> np.ndarray:
    """Rows of noise for one input; sizes it leaves open are 1, but for the number of rows."""
    shape = [TRIAL_ROWS if size is None and axis == 0 else size or 1 for axis, size in enumerate(port["shape"])]
    if port["type"] == "tensor(string)":
        return np.full(shape, "a", object)
    wanted = np.dtype(NUMPY[port["type"]])
    return random.random(shape).astype(wanted) if wanted.kind == "f" else random.integers(0, 2, shape).astype(wanted)


def first_line(error: Exception) -> str:
    """The first line of an error, cut to a readable length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:300]


if __name__ == "__main__":
    try:
        answer = examine(Path(sys.argv[1]))
    except RefusedError as refusal:
        answer = {"refused": str(refusal)}
    sys.stdout.write(json.dumps(answer) + "\n")
