"""Read a torch dataset or loader once, in order; its own order and batches are not used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
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

from stillhouse.data.inputs import as_labels, label_column, numbers
from stillhouse.data.unsupported import columns_structure
from stillhouse.errors import RejectedError

_WHOLE_SET = (RandomSampler, SequentialSampler, WeightedRandomSampler, DistributedSampler)
_CHUNK = 256  # items collated together
_READ_TWICE = 8  # items that are read twice, to find a random transform

Collate = Callable[[list[Any]], Any]
Pair = tuple[NDArray[Any], Any]  # inputs, and labels as they were given or None
_INPUTS = (
    "x",
    "text",
    "image",
    "img",
    "pixel_values",
    "inputs",
    "input",
    "features",
)  # keys of items that are mappings


def materialize(data: Any, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Read every item of a dataset, or of the dataset behind a loader.

    Args:
        data: a ``DataLoader``, a map-style or iterable ``Dataset``, or a list of items; an item is ``(x, y)``,
            ``(x,)``, ``x`` or ``{"x": x, "label": y}``, where x is a tensor, an array or a text.
        name: of the data in an error.

    Returns:
        inputs (N, ...), or an object array (N,) of str that is not checked yet, and labels (N,), or None.

    Raises:
        RejectedError: items of other forms or of unequal shapes, or that differ from one reading to the next.
    """
    if isinstance(data, TensorDataset):
        return _join([_pair(list(data.tensors), name)], name)
    loader = data if isinstance(data, DataLoader) else None
    dataset: Any = data if loader is None else loader.dataset
    collate: Collate = default_collate if loader is None else loader.collate_fn
    if collate is default_collate:
        collate = _collate
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

    A sampler over a subset is the usual way to divide one dataset into training and validation rows: rows that it never
    draws must be left out.
    """
    size = len(loader.dataset)  # type: ignore[arg-type]
    own_batches = loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler
    if own_batches:
        return sorted({int(i) for batch in loader.batch_sampler or () for i in batch})
    if isinstance(loader.sampler, _WHOLE_SET):
        return range(size)
    return sorted({int(i) for i in getattr(loader.sampler, "indices", loader.sampler)})


def _collate(items: list[Any]) -> Any:
    """Collate inputs as torch does; labels stay a list, whatever they are."""
    if isinstance(items[0], Mapping):
        items = [_of_mapping(item) for item in items]
    if not (isinstance(items[0], tuple | list) and len(items[0]) == 2):
        return default_collate(items)
    return [default_collate([x for x, _ in items]), [y for _, y in items]]


def _of_mapping(item: Mapping[str, Any]) -> Any:
    """An item, or a batch, that is a mapping as ``(x, y)``; as ``x`` where it has no label."""
    label, what = label_column(item), columns_structure(item)
    inputs = [key for key in item if key != label]
    named = inputs if len(inputs) == 1 else [key for key in inputs if key in _INPUTS]
    if what or len(named) != 1:
        raise RejectedError(
            f"The items of the data have the keys {list(item)}"
            + (f": these look like {what}." if what else ". Give (x, y), or a mapping with the keys x and label.")
        )
    return item[named[0]] if label is None else (item[named[0]], item[label])


def _chunks(items: Iterator[Any]) -> Iterator[list[Any]]:
    while chunk := list(islice(items, _CHUNK)):
        yield chunk


def _explained(batches: Iterable[Any], name: str) -> Iterator[Any]:
    try:
        yield from batches
    except (TypeError, ValueError, RuntimeError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())  # torch's are paragraphs
        raise RejectedError(
            f"The {name} data cannot be read: {reason}. Each item must be (x, y) or x, with x a text, or a tensor or "
            "an array of the same shape for all rows."
        ) from error


def _pair(batch: Any, name: str) -> Pair:
    if isinstance(batch, Mapping):
        batch = _of_mapping(batch)
    if _all_text(batch) or not isinstance(batch, tuple | list):
        batch = [batch]
    if len(batch) not in (1, 2) or not (isinstance(batch[0], Tensor | np.ndarray) or _all_text(batch[0])):
        raise RejectedError(
            f"The {name} data give items of {len(batch)} parts, the first a {type(batch[0]).__name__}. Each item must "
            "be (x, y) or x, with x a text, a tensor or an array: wrap the dataset in one that returns these."
        )
    inputs = np.array(batch[0], object) if _all_text(batch[0]) else numbers(batch[0])
    return inputs, None if len(batch) == 1 else batch[1]


def _all_text(values: Any) -> bool:
    """Whether these are texts as torch collates them: a list or a tuple of them."""
    return isinstance(values, tuple | list) and bool(values) and all(isinstance(value, str) for value in values)


def _join(pairs: list[Pair], name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if not pairs:
        return np.empty((0, 1), np.float32), None
    try:
        inputs = np.concatenate([x for x, _ in pairs])
    except ValueError as error:
        raise RejectedError(f"The {name} data have rows of unequal shapes: {error}. Make them the same.") from None
    if all(y is None for _, y in pairs):
        return inputs, None
    if len(pairs) == 1:
        return inputs, np.atleast_1d(as_labels(pairs[0][1]))
    return inputs, as_labels([one for x, y in pairs for one in ([None] * len(x) if y is None else y)])


def _refuse_random(dataset: Any, indices: Sequence[int], name: str) -> None:
    for i in indices[:_READ_TWICE]:
        first, again = dataset[i], dataset[i]
        x, y = (_input_of(item) for item in (first, again))
        if _differ(x, y):
            raise RejectedError(
                f"The {name} data give a different row {i} each time they are read: they contain a random transform. "
                "Rows are read once, and teacher and student must get the same views: remove the random transform from "
                "the dataset, and use views instead ([views] policy)."
            )


def _input_of(item: Any) -> Any:
    item = _of_mapping(item) if isinstance(item, Mapping) else item
    return item[0] if isinstance(item, tuple | list) else item


def _differ(x: Any, y: Any) -> bool:
    if isinstance(x, str):
        return bool(x != y)
    return isinstance(x, Tensor | np.ndarray) and not np.array_equal(np.asarray(x), np.asarray(y), equal_nan=True)
