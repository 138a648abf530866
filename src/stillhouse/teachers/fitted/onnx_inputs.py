"""Raw rows as the inputs of an ONNX graph: columns by name, matrices, images, texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.errors import RejectedError
from stillhouse.teachers.fitted.columns import by_name, matrix_of
from stillhouse.teachers.protocol import Port

CHANNELS = (1, 3, 4)  # sizes of an axis that can be colours
STRING = "tensor(string)"
DTYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


def fits_inputs(ports: Sequence[Port]) -> bool:
    """Whether rows can be made into these inputs: one of numbers or texts, or several that are columns."""
    known = all(port.type in DTYPES or port.type == STRING for port in ports)
    return bool(ports) and known and (len(ports) == 1 or all(map(is_column, ports)))


def is_column(port: Port) -> bool:
    """Whether an input takes one value a row."""
    return len(port.shape) == 1 or (len(port.shape) == 2 and port.shape[1] in (1, None))


def feed(ports: Sequence[Port], raw: Any) -> dict[str, NDArray[Any]]:
    """Arrays for each input of a graph, from raw rows: an array (N, ...), a frame, or texts (N,).

    Raises:
        RejectedError: a column is missing, the rows have another shape, or values do not fit the input's type.
    """
    if len(ports) > 1 or (hasattr(raw, "columns") and ports[0].name in raw.columns and is_column(ports[0])):
        frame = by_name(raw, [port.name for port in ports])
        return {port.name: shaped(cast(cells_of(frame[port.name]), port), port) for port in ports}
    (port,) = ports
    if len(port.shape) > 2:
        return {port.name: cast(planes(np.asarray(raw), port), port)}
    width = port.shape[1] if len(port.shape) == 2 else 1
    return {port.name: shaped(cast(matrix_of(raw, width), port), port)}


def cells_of(column: Any) -> NDArray[Any]:
    """A column as an array; numbers with gaps as floats."""
    numbers = column.dtype.kind in "iuf"
    return np.asarray(column.to_numpy(np.float64, na_value=np.nan) if numbers and column.hasnans else column.to_numpy())


def shaped(values: NDArray[Any], port: Port) -> NDArray[Any]:
    """Values of one column, or a matrix, with as many axes as the input has."""
    return values.reshape(len(values), -1) if len(port.shape) == 2 else values.reshape(len(values))


def cast(values: NDArray[Any], port: Port) -> NDArray[Any]:
    """Values in the type of an input; refuses cells that do not fit it, with their rows."""
    if port.type == STRING:
        cells = np.asarray(values.astype(str) if values.dtype.kind == "b" else values, object)
        if cells.size and not all(isinstance(cell, str) for cell in cells.ravel()):
            refuse_cells(cells, port, lambda cell: not isinstance(cell, str), "texts")
        return cells
    wanted = np.dtype(DTYPES[port.type])
    if values.dtype.kind not in "biuf":
        refuse_cells(values, port, not_a_number, "numbers")
        values = values.astype(np.float64)
    if wanted.kind in "iub" and values.dtype.kind == "f":
        refuse_cells(values, port, lambda cell: not float(cell).is_integer(), "whole numbers")
    return np.ascontiguousarray(values, wanted)


def refuse_cells(values: NDArray[Any], port: Port, bad: Any, wanted: str) -> None:
    """Refuse rows in which a cell does not fit an input."""
    table = values.reshape(len(values), -1).tolist()  # plain numbers, to be shown
    rows = [number for number, row in enumerate(table) if any(bad(cell) for cell in row)]
    if rows:
        example = next(cell for cell in table[rows[0]] if bad(cell))
        raise RejectedError(
            f"The ONNX file takes {wanted} as {port}, and {len(rows)} of the {len(table)} rows asked have others: the "
            f"first, at position {rows[0]}, has {example!r}. Fix those cells, or give a teacher that takes them."
        )


def not_a_number(cell: object) -> bool:
    """Whether a cell cannot be read as a float; a missing one (None) cannot."""
    try:
        float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return True
    return False


def planes(values: NDArray[Any], port: Port) -> NDArray[Any]:
    """Images in the order of axes that the input asks for, (N, C, H, W) or (N, H, W, C); open sizes fit all."""
    wanted = port.shape[1:]
    candidates = [values]
    if values.ndim == 3:
        candidates += [values[:, None], values[..., None]]
    elif values.ndim == 4 and values.shape[-1] in CHANNELS:
        candidates.append(np.moveaxis(values, -1, 1))
    if values.ndim == 4 and values.shape[1] in CHANNELS:
        candidates.append(np.moveaxis(values, 1, -1))
    if values.ndim == 2 and all(wanted) and values.shape[1] == int(np.prod([size or 0 for size in wanted])):
        candidates.append(values.reshape(len(values), *[size or 0 for size in wanted]))
    for images in candidates:
        sizes = images.shape[1:]
        if len(sizes) == len(wanted) and all(w in (None, s) for w, s in zip(wanted, sizes, strict=True)):
            return images
    raise RejectedError(
        f"The ONNX file takes {port}, and the rows have the shape {values.shape}. Give the data in that size, or "
        "export the model for theirs."
    )
