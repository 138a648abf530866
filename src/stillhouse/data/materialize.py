"""Read a torch dataset or loader once, in order, whatever order and batches it would train in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)
from torch.utils.data.distributed import DistributedSampler

from stillhouse.data.labels import first_five
from stillhouse.data.on_disk.mapped import TEXTS, MappedTexts
from stillhouse.errors import RejectedError

_WHOLE_SET = (RandomSampler, SequentialSampler, WeightedRandomSampler, DistributedSampler)
_CHUNK = 256  # items collated together
_READ_TWICE = 8  # items that are read twice, to find a random transform
LONGEST = 100_000  # characters of a text: more is a damaged file, or a book that no student here reads

Collate = Callable[[list[Any]], Any]
Pair = tuple[NDArray[Any], NDArray[Any] | None]


def materialize(data: Any, name: str) -> Pair:
    """Read every item of a dataset, or of the dataset behind a loader.

    Args:
        data: a ``DataLoader``, a map-style or iterable ``Dataset``, or a list of items; an item is ``(x, y)``, ``(x,)``
            or ``x``, where x is a tensor, an array or a text.
        name: what to call the data in an error.

    Returns:
        inputs (N, ...), or an object array (N,) of str that is not checked yet, and labels (N,), None where the items
        have none.

    Raises:
        RejectedError: items of other forms or of unequal shapes, or that differ from one reading to the next.
    """
    if isinstance(data, TensorDataset):
        return _pair(list(data.tensors), name)
    loader = data if isinstance(data, DataLoader) else None
    dataset: Any = data if loader is None else loader.dataset
    collate: Collate = default_collate if loader is None else loader.collate_fn
    whole_batches = loader is not None and loader.batch_sampler is None
    if isinstance(dataset, IterableDataset):
        items: Iterator[Any] = iter(dataset)
    else:
        indices = range(len(dataset)) if loader is None else drawn(loader)
        _refuse_random(dataset, indices, name)
        items = (dataset[i] for i in indices)
    batches = map(collate, items if whole_batches else _chunks(items))
    return _join([_pair(batch, name) for batch in _explained(batches, name)], name)


def drawn(loader: DataLoader[Any]) -> Sequence[int]:
    """Return the indices that a loader draws in an epoch, each once, in the order of the dataset.

    A sampler over a subset is the common way to divide one dataset into training and validation rows: rows it would
    never draw must not come in.
    """
    size = len(loader.dataset)  # type: ignore[arg-type]
    own_batches = loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler
    if own_batches:
        return sorted({int(i) for batch in loader.batch_sampler or () for i in batch})
    if isinstance(loader.sampler, _WHOLE_SET):
        return range(size)
    return sorted({int(i) for i in getattr(loader.sampler, "indices", loader.sampler)})


def as_array(values: Any) -> NDArray[Any]:
    """Return a tensor, series or list of labels as numpy; numbers with gaps (None) as float64 with NaN."""
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.dtype == object and not any(isinstance(value, str) for value in array.flat):
        return array.astype(np.float64)
    return array


def numbers(raw: Any) -> NDArray[Any]:
    """Return tensors, frames, lists and arrays of numbers as a numpy array with the rows first.

    Raises:
        RejectedError: not numbers, or no axis for the rows.
    """
    if isinstance(raw, Tensor):
        raw = raw.detach().cpu()
        raw = raw.float() if raw.dtype == torch.bfloat16 else raw
    values = np.asarray(raw)
    if values.dtype == object or values.dtype.kind in "US":  # frames of text cells, as CSV is read
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise RejectedError(f"The rows hold cells that are not numbers: {error}. Mend or remove them.") from None
    if values.dtype.kind not in "biuf" or values.ndim < 1:
        raise RejectedError(
            f"The rows have the type {values.dtype} and the shape {values.shape}. Give numbers, with the rows first."
        )
    return values


def texts_of(raw: Any, where: str) -> NDArray[Any]:
    """Return a list, an array, a series or a frame of one column as an object array (N,) of str.

    Args:
        raw: the texts.
        where: what to call them in an error.

    Raises:
        RejectedError: names the first five rows that are no text, empty, too long, or not Unicode.
    """
    if isinstance(raw, str):
        raise RejectedError(f"{where} are one text. Give a list of texts: `[text]`.")
    cells = np.array(list(_one_column(raw, where)), object)
    if cells.ndim != 1:
        raise RejectedError(f"{where} have the shape {cells.shape}. Give one text a row.")
    _refuse([_fault(cell) for cell in cells], where)
    return np.array([str(cell) for cell in cells], object)  # numpy's own text becomes plain


def put_down_texts(pieces: Iterable[Iterable[Any]], where: str, folder: Path) -> MappedTexts:
    """Put texts that come in pieces into mapped files of a folder.

    Raises:
        RejectedError: as ``texts_of``, once all rows are known.
        StoppedError: the disk is full.
    """
    faults: list[str | None] = []

    def sound() -> Iterator[list[str]]:
        for piece in pieces:
            cells = list(piece)
            faults.extend(map(_fault, cells))
            yield [str(cell) for cell in cells] if not any(faults[-len(cells) :]) else []

    texts = MappedTexts.write(folder / TEXTS, sound())
    _refuse(faults, where)
    return texts


def _refuse(faults: list[str | None], where: str) -> None:
    for fault in dict.fromkeys(faults):
        if fault:
            rows = np.array([other == fault for other in faults])
            raise RejectedError(f"{where}: {first_five(rows)} {fault}. Mend or remove those rows.")


def _one_column(raw: Any, where: str) -> Any:
    if not hasattr(raw, "columns"):
        return raw
    if raw.shape[1] != 1:
        raise RejectedError(f"{where} have the columns {list(raw.columns)}. Give the one that holds the texts.")
    return raw.iloc[:, 0]


def _fault(cell: Any) -> str | None:
    """Say what is wrong with a text."""
    if not isinstance(cell, str):
        missing = cell is None or type(cell).__name__ in ("float", "NAType")  # NaN and pandas' own gap
        return "hold no text" if missing else f"hold a {type(cell).__name__}, not text"
    if not cell or cell.isspace():
        return "hold an empty text"
    if len(cell) > LONGEST:
        return f"hold a text of more than {LONGEST:,} characters"
    try:
        cell.encode()
    except UnicodeEncodeError:
        return "hold half of a surrogate pair, which is no character"
    return None


def _chunks(items: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(items, _CHUNK)):
        yield chunk


def _explained(batches: Iterable[Any], name: str) -> Iterator[Any]:
    """Pass the batches on; what goes wrong within the user's dataset is told with its place."""
    try:
        yield from batches
    except (TypeError, ValueError, RuntimeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())  # torch's are paragraphs
        raise RejectedError(
            f"The {name} data cannot be read: {reason}. Each item must be (x, y) or x, with x a text, or a tensor or "
            "an array of the same shape for all rows."
        ) from error


def _pair(batch: Any, name: str) -> Pair:
    """Take a collated batch apart."""
    if _all_text(batch) or not isinstance(batch, tuple | list):
        batch = [batch]
    if len(batch) not in (1, 2) or not (isinstance(batch[0], Tensor | np.ndarray) or _all_text(batch[0])):
        raise RejectedError(
            f"The {name} data give items of {len(batch)} parts, the first a {type(batch[0]).__name__}. Each item must "
            "be (x, y) or x, with x a text, a tensor or an array: wrap the dataset in one that returns these."
        )
    inputs = np.array(batch[0], object) if _all_text(batch[0]) else numbers(batch[0])
    return inputs, None if len(batch) == 1 or batch[1] is None else np.atleast_1d(as_array(batch[1]))


def _all_text(values: Any) -> bool:
    """Whether these are texts as torch collates them: a list or a tuple of them."""
    return isinstance(values, tuple | list) and bool(values) and all(isinstance(value, str) for value in values)


def _join(pairs: list[Pair], name: str) -> Pair:
    if not pairs:
        return np.empty((0, 1), np.float32), None
    try:
        inputs = np.concatenate([x for x, _ in pairs])
    except ValueError as error:
        raise RejectedError(f"The {name} data have rows of unequal shapes: {error}. Bring them to one.") from None
    labels = [y for _, y in pairs if y is not None]
    return inputs, np.concatenate(labels) if labels else None


def _refuse_random(dataset: Any, indices: Sequence[int], name: str) -> None:
    for i in indices[:_READ_TWICE]:
        first, again = dataset[i], dataset[i]
        x, y = (item[0] if isinstance(item, tuple | list) else item for item in (first, again))
        if _differ(x, y):
            raise RejectedError(
                f"The {name} data give another row {i} each time they are read: there is a random transform in them. "
                "Rows are read once and every view is replayed for teacher and student alike: take the random "
                "transform out of the dataset, and ask for views instead ([views] policy)."
            )


def _differ(x: Any, y: Any) -> bool:
    if isinstance(x, str):
        return bool(x != y)
    return isinstance(x, Tensor | np.ndarray) and not np.array_equal(np.asarray(x), np.asarray(y), equal_nan=True)
