"""How students read texts: with the tokenizer of the run, as many tokens as [student] tokens says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from stillhouse import students
from stillhouse.data import Prepared, TextEncoder, encoded_again
from stillhouse.data.views.base import Views
from stillhouse.errors import UsageError
from stillhouse.pipeline.run.context import RunContext
from stillhouse.pipeline.run.folder import ROWS
from stillhouse.recipe import StudentSection

WHOLE = 512  # tokens at most of what is called a whole text: later ones hardly change a mean of words, and cost memory
PIECE = 2048  # texts whose tokens are counted together
FOLDER = "student"  # of the encoded rows on disk, within that of the run's rows


def student_encoder(section: StudentSection, given: Any, data: Prepared, views: Views) -> TextEncoder | None:
    """The encoder of students that read more or fewer tokens than the teacher; None: they read what it reads.

    Args:
        section: [student].
        given: the user's own student from Python, or None.
        data: as the teacher reads them.
        views: of the run.

    Raises:
        UsageError: the rows are no texts, or views do not fit two lengths.
    """
    found = data.encoder.text
    if found is None:
        if section.tokens is not None:
            raise UsageError(f"[student] tokens = {section.tokens} is for texts, and these rows are none. Remove it.")
        return None
    if section.tokens is not None:
        if section.tokens != found.length and not views.any_length:
            raise UsageError(
                f"[student] tokens = {section.tokens}, but the teacher reads {found.length} ([data] tokens), and the "
                f"views by {views.policy!r} would differ. Write the same number twice, or `[views] policy = "
                '"words"` or "none".'
            )
        return longer(found, section.tokens)
    name = section.family or section.name or students.DEFAULT_OF_TEXTS
    if given is not None or section.derive.wanted or name not in students.ADD_UP or not views.any_length:
        return None
    whole = whole_texts(data)
    return None if whole is found else whole


def whole_texts(data: Prepared) -> TextEncoder:
    """The encoder of rows of texts with as many tokens as the longest training text has, up to 512."""
    found, rows = cast(TextEncoder, data.encoder.text), data.split.train
    whole = longer(found, max(WHOLE, found.length)) or found
    parts = (data.source.take(rows[start : start + PIECE]) for start in range(0, len(rows), PIECE))
    return longer(found, max(whole.longest(parts), found.length)) or found


def longer(encoder: TextEncoder, length: int) -> TextEncoder | None:
    """The encoder with another length; None where it is the same."""
    return None if length == encoder.length else TextEncoder.from_tokenizer(encoder.tokenizer_json, length=length)


def rows_of_students(data: Prepared, encoder: TextEncoder | None, count: int) -> Tensor:
    """The first training rows, as students read them."""
    return data.train.inputs[:count] if encoder is None else encoder.encode(data.source.take(data.split.train[:count]))


def as_students_read(context: RunContext) -> RunContext:
    """The run with its rows as students read them."""
    encoder, recipe = context.student_text, context.recipe
    if encoder is None:
        return context
    folder = recipe.output.dir / ROWS / FOLDER if recipe.data.on_disk else None
    return replace(context, data=encoded_again(context.data, encoder, folder), student_text=None)
