"""Data sets of the Hugging Face ``datasets`` library, recognised by their methods; the library itself is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stillhouse.data.files.texts import TEXT, find_text_column
from stillhouse.data.inputs import label_column
from stillhouse.data.unsupported import columns_structure
from stillhouse.errors import RejectedError

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_PROSE = 3  # words in a cell on average: cells with fewer are names of categories


def is_hugging_face(data: Any) -> bool:
    """Whether this is a ``datasets.Dataset``, or has the same methods."""
    return hasattr(data, "column_names") and hasattr(data, "to_pandas")


def text_column(inputs: DataFrame) -> str | None:
    """The column "text", or the longest of three words or more on average; None: these rows are a table."""
    if TEXT in inputs.columns:
        return TEXT
    columns = [str(name) for name in inputs.columns if _words(inputs[name]) >= _PROSE]
    return find_text_column(inputs[columns], (), "") if columns else None


def read_hugging_face(data: Any, where: str) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Split a data set into inputs and labels.

    Returns:
        a series of texts or a frame; the labels, None where there are none; the names of a ``ClassLabel``.

    Raises:
        RejectedError: it has no column beside the label.
    """
    frame: DataFrame = data.to_pandas()
    names = getattr((getattr(data, "features", None) or {}).get(label_column(frame.columns)), "names", None)
    return (*split_frame(frame, where), None if names is None else tuple(map(str, names)))


def split_frame(frame: DataFrame, where: str) -> tuple[Any, Any]:
    """Split a frame that holds its labels into inputs, a series of texts or a frame, and labels, if there are some."""
    label = label_column(frame.columns)
    what = columns_structure(frame.iloc[0].to_dict()) if len(frame) else None
    if what is not None:
        raise RejectedError(f"{where} have the columns {list(map(str, frame.columns))}: these look like {what}.")
    inputs = frame if label is None else frame.drop(columns=label)
    if not inputs.shape[1]:
        raise RejectedError(f"{where} have no column except the label. Give at least one.")
    text = text_column(inputs)
    return inputs if text is None else inputs[text], None if label is None else frame[label]


def _words(cells: Series[Any]) -> float:
    texts = [cell for cell in cells if isinstance(cell, str)]
    return sum(len(text.split()) for text in texts) / max(len(texts), 1)
