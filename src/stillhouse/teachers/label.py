"""Asking the teacher, once: from a teacher and rows to a store."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor

from stillhouse.data import Views
from stillhouse.errors import DamagedError, RejectedError
from stillhouse.store import Dense, Hidden, Key, ShapedTail, Store, TopK, Writer, ls, supersede
from stillhouse.store.buckets import Bucket, mirror
from stillhouse.store.maintenance import SUPERSEDED
from stillhouse.store.manifest import NAME, PLAN, in_parts
from stillhouse.store.part_care import merge
from stillhouse.store.part_reading import open_parts
from stillhouse.store.part_writing import settle_plan, write_part
from stillhouse.store.parts import MANY_ROWS, PART_BYTES, Plan, part_rows, sidecar_name
from stillhouse.store.places import Folder
from stillhouse.task import Task
from stillhouse.teachers.crossfit import whole_of
from stillhouse.teachers.module import ModuleTeacher
from stillhouse.teachers.pace import SHARE, SMALLEST, fastest_batch
from stillhouse.teachers.stored import (
    FEATURE,
    HEAD,
    SOFTENED,
    Codec,
    encoded,
    fields_of,
    key_parts,
    make_codec,
    of_teacher,
    packed,
)
from stillhouse.types import Batch, Outputs, Teacher, shape_of

PROBE = 8  # rows that are asked twice before anything is kept; fewer where there are few
COARSE_ROWS, COARSEST = 64, 0.02  # rows of the probe of a half-precision teacher; error of the gradient it may bring
COUNT = re.compile(r" count=\d+ ")  # in the description of views
UNSEEN = frozenset({"preprocessing"})  # parts of a key that say nothing to a teacher that reads raw rows
WAIT = -1.0  # seconds for another run that fills the same store: for ever, since it does this run's work


def label(
    teacher: Teacher,
    inputs: Tensor,
    views: Views,
    folder: Path,
    *,
    task: Task,
    key: Mapping[str, str],
    dtype: str,
    block_rows: int,
    codec: str = "dense",
    temperature: float = 1.0,
    library: bool = False,
    replace: bool = False,
    bucket: str | None = None,
    part_bytes: int | None = None,
    device: str = "cpu",
    share: Callable[[int], Iterable[int]] | None = None,
    row_hashes: np.ndarray | None = None,
    advance: Callable[[int], None] = lambda rows: None,
    raw: Callable[[np.ndarray, Tensor | None], Any] | None = None,
) -> Store:
    """Fill a store with the teacher's answers to every row and view; what is already there is not asked again.

    Args:
        teacher: who is asked.
        inputs: encoded training rows, float32 (N, ...).
        views: of each row.
        folder: of the store.
        task: of the run.
        key: what the answers depend on besides teacher and rows: preprocessing, views.
        dtype: "float32", "float16" or "bfloat16", for outputs and features.
        block_rows: rows that are written together.
        codec: what is kept of the outputs: "dense", "topk:32", "sampled:50", "hidden".
        temperature: softens the teacher before classes are left out; not used for whole rows.
        library: ``folder`` holds the stores of many runs, each under the digest of its key.
        replace: a store of another key is removed, not refused.
        bucket: address of a bucket that is the library; ``folder`` then holds its local copy.
        part_bytes: about the bytes of a part, for a store in parts; None: in one piece, unless there are many rows or
            the store is planned in parts.
        device: the kind of device on which the teacher answers; a store in parts keeps to it.
        share: of a store in parts: from the number of parts to those that are labelled now; None: all that are missing,
            and then the store is merged.
        row_hashes: uint64 (N,), content of each row: only changed rows are asked again.
        advance: called with the number of rows that were answered.
        raw: from row numbers, and the inputs of a view of these rows or None, to raw rows, for teachers that take no
            tensors; None: such a teacher decodes the inputs.

    Returns:
        The store; where it was complete before, nothing is written, so its folder may be read-only. After a share it
        is not complete.

    Raises:
        RejectedError: the store belongs to something else; the teacher answers with NaN or differs from itself.
        DamagedError: the store does not hold what its manifest says.
        UsageError: there is no such codec, or it is not for the outputs of this task.
    """
    kept, shape = of_teacher(make_codec(codec, dtype, task), teacher), shape_of(teacher)
    states: Any = teacher if isinstance(kept, Hidden) else None
    whole = Key(
        {
            **key,
            "teacher": teacher.fingerprint(),
            **key_parts(kept, shape),
            "precision": getattr(teacher, "precision", "32-true"),
            **({} if isinstance(kept, Dense | Hidden) else {SOFTENED: repr(float(temperature))}),
            **({} if states is None else {HEAD: states.head_digest()}),
            **({} if row_hashes is None else {"rows": xxhash.xxh3_128_hexdigest(row_hashes.tobytes())}),
        }
    )
    place = folder / whole.digest[:16] if library else folder
    aside = UNSEEN if views.count == 1 and getattr(teacher, "reads_raw", False) else frozenset()
    if (place / NAME).exists() or (place / PLAN).exists():
        there = Store.open(place)
        if there.complete and serves(there, whole, len(inputs), views.count):
            return there
        if replace and there.key != whole and not differs_in_rows(place, whole, aside):
            shutil.rmtree(place)
    far = None if bucket is None else Bucket(f"{bucket}/{whole.digest[:16]}", place)
    if far is not None and far.has(NAME):
        return Store.open(mirror(far).folder, whole)
    few = min(len(inputs), PROBE, max(2, len(inputs) // SHARE))
    few = 1 if rows_at_once(teacher) else few  # a window of tokens is many answers
    probe = check_teacher(teacher, inputs[:few], None if raw is None else raw(np.arange(few), None))
    refuse_coarse(teacher, inputs[:COARSE_ROWS], shift=task.shift_invariant)
    shapes = {path: tuple(value.shape[1:]) for path, value in probe.features.items()}
    fields, ask = fields_of(kept, shape, shapes, dtype), Asker(teacher, inputs, views, kept, temperature, raw)
    if share is not None or far is not None or wants_parts(place, len(inputs), part_bytes):
        size = part_rows(fields, views.count, part_bytes or PART_BYTES)
        hashed = row_hashes is not None
        plan = Plan(whole, tuple(fields), len(inputs), views.count, block_rows, size, hashed, device=device)
        return label_parts(far or Folder(place), plan, ask, row_hashes, share, advance)
    with Writer(
        place,
        whole,
        fields,
        rows=len(inputs),
        views=views.count,
        block_rows=block_rows,
        row_hashes=row_hashes,
        reuse=None if row_hashes is None else earlier(folder, place, whole, aside),
        aside=aside,
        wait=WAIT if library else 0.0,
    ) as writer:
        fill(writer, ask, block_rows, advance)
    return Store.open(place, whole)


def wants_parts(place: Path, rows: int, part_bytes: int | None) -> bool:
    """Whether a store is kept in parts; one that is there stays as it is."""
    if (place / PLAN).exists() or (place / NAME).exists():
        return in_parts(place)
    return part_bytes is not None or rows > MANY_ROWS


def label_parts(
    place: Folder | Bucket,
    wanted: Plan,
    ask: Asker,
    row_hashes: np.ndarray | None,
    share: Callable[[int], Iterable[int]] | None,
    advance: Callable[[int], None],
) -> Store:
    """Label parts of a store, one after the other; see ``label``.

    Raises:
        RejectedError: the plan in this place is for other answers, or for another kind of device.
    """
    plan = wanted if place.has(PLAN) else replace_fields(wanted, batch=batch_of(ask, wanted.block_rows))
    plan = settle_plan(place, plan)
    if plan.device not in ("", wanted.device):
        raise RejectedError(
            f"The store {place} is planned for answers computed on {plan.device!r}, and this process computes on "
            f'{wanted.device!r}, where the last digits differ. Write `[training] device = "{plan.device}"`, or plan '
            "again in a new folder."
        )
    hashes = None if row_hashes is None else (lambda rows: row_hashes[rows.start : rows.stop])
    for number in range(plan.parts) if share is None else share(plan.parts):
        if not place.has(sidecar_name(number)):
            write_part(place, plan, number, ask, hashes, advance)
    if share is not None:
        return open_parts(place, plan.key)
    merge(place)
    return Store.open((mirror(place) if isinstance(place, Bucket) else place).folder, plan.key)


def serves(there: Store, key: Key, rows: int, views: int) -> bool:
    """Whether a store holds all that one of this key would: it may also have more views, or hidden layers besides.

    View v of a row is the same however many there are.
    """
    if there.rows != rows or there.views < views:
        return False
    parts, wanted = dict(there.key.parts), dict(key.parts)
    if there.views > views:
        parts["views"], wanted["views"] = (COUNT.sub(" ", of.get("views", "")) for of in (parts, wanted))
    if set(wanted.get("layers", "").split()) <= set(parts.get("layers", "").split()):
        parts["layers"] = wanted.get("layers", "")
    return {**parts, "layers": parts.get("layers", "")} == {**wanted, "layers": wanted.get("layers", "")}


def earlier(folder: Path, place: Path, key: Key, aside: Set[str]) -> Path | None:
    """A store whose rows can be used again: one whose key differs in the rows alone, and in what is ``aside``.

    In a library it stays where it is; one that stands where the new one goes is moved aside. One that an interrupted
    call moved aside is found again.
    """
    if folder == place and differs_in_rows(place, key, aside):
        return supersede(place)
    beside = folder if folder != place else folder.parent
    others = [found.folder for found in ls(beside)] if beside.is_dir() else []
    if folder == place:
        others = [other for other in others if other.name.startswith(f"{folder.name}{SUPERSEDED}")]
    return next((other for other in others if differs_in_rows(other, key, aside)), None)


def differs_in_rows(folder: Path, key: Key, aside: Set[str]) -> bool:
    """Whether a folder holds a sound store that differs from the key in its rows alone, whatever is ``aside``."""
    try:
        if in_parts(folder):  # is asked for whole
            return False
        there = Store.open(folder).key
    except (RejectedError, DamagedError):
        return False
    return "rows" in there.parts and {*there.differing(key)} - aside == {"rows"}


class Asker:
    """A teacher's answers to rows, in the form in which they are kept; for the arguments see ``label``."""

    def __init__(
        self,
        teacher: Teacher,
        inputs: Tensor,
        views: Views,
        codec: Codec,
        temperature: float,
        raw: Callable[[np.ndarray, Tensor | None], Any] | None = None,
    ) -> None:
        self.teacher, self.inputs, self.views = teacher, inputs, views
        self.codec, self.temperature = codec, temperature
        self.raw = raw or (lambda rows, inputs: None)

    def first(self, count: int) -> Tensor:
        """Values of the first rows as they are."""
        rows = torch.arange(count)
        zeros, raw = torch.zeros_like(rows), self.raw(rows.numpy(), None)
        return self.teacher.outputs(Batch(self.inputs[:count], zeros - 1, rows, zeros, raw=raw)).values

    def __call__(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The answers to some rows in all their views: arrays (rows, views, ...); refuses NaN and infinity."""
        chosen = torch.from_numpy(rows)
        answers: dict[str, list[np.ndarray]] = {}
        for number in range(self.views.count):
            view = torch.full_like(chosen, number)
            inputs = self.views.apply(self.inputs[chosen], chosen, view)
            raw = self.raw(rows, inputs if number else None)
            batch = Batch(inputs, torch.full_like(chosen, -1), chosen, view, raw=raw)
            listed = getattr(self.teacher, "listed", None)
            if listed is not None and isinstance(self.codec, TopK | ShapedTail):  # it lists classes itself
                more = {"shaped": True} if isinstance(self.codec, ShapedTail) else {}
                found = packed(self.codec, listed(batch, self.codec.k, self.temperature, **more).sparse)
                for name, array in found.items():
                    refuse_not_finite(name, array, rows, number)
                    answers.setdefault(name, []).append(array)
                continue
            if isinstance(self.codec, Hidden):
                states: Any = self.teacher
                found = self.codec.encode(states.hidden(batch).numpy())
                refuse_not_finite("hidden", found["hidden"], rows, number)
                answers.setdefault("hidden", []).append(found["hidden"])
                continue
            outputs = self.teacher.outputs(batch)
            found = {FEATURE + path: value.float().numpy() for path, value in outputs.features.items()}
            values = outputs.values.float().numpy()
            for name, array in ({"outputs": values} | found).items():
                refuse_not_finite(name, array, rows, number)
            for name, array in (found | encoded(self.codec, values, self.temperature)).items():
                answers.setdefault(name, []).append(array)
        return {name: np.stack(parts, axis=1) for name, parts in answers.items()}


def fill(writer: Writer, ask: Asker, block_rows: int, advance: Callable[[int], None]) -> None:
    """Ask about missing rows, in batches of the size that is fastest for this teacher."""
    size = 0
    for block in writer.missing():
        size = size or batch_of(ask, block_rows)
        for start in range(block.start, block.stop, size):
            stop = min(start + size, block.stop)
            writer.put(start, ask(np.arange(start, stop)))
            advance(stop - start)


def batch_of(ask: Asker, block_rows: int) -> int:
    """How many rows to ask this teacher about at once."""
    if fixed := rows_at_once(ask.teacher):
        return fixed
    return fastest_batch(ask.first, min(block_rows, max(len(ask.inputs) // SHARE, SMALLEST)))


def rows_at_once(teacher: Teacher) -> int | None:
    """How many rows a teacher says that it is to be asked about together; None: that is measured."""
    return getattr(teacher, "batch_rows", None)


def refuse_not_finite(name: str, answers: np.ndarray, rows: np.ndarray, view: int) -> None:
    """Refuse answers that are not numbers; minus infinity beside finite ones is a probability of 0."""
    flat = answers.reshape(len(rows), -1)
    bad = rows[(np.isnan(flat) | np.isposinf(flat)).any(1) | ~np.isfinite(flat).any(1)]
    if len(bad):
        raise RejectedError(
            f"The teacher answered NaN or infinity ({name}) for {len(bad)} of {len(rows)} rows in view {view}; the "
            f"first row ids are {', '.join(map(str, bad[:5]))}. Fix the teacher or those inputs; rows answered "
            "before are kept."
        )


def check_teacher(teacher: Teacher, inputs: Tensor, raw: Any = None) -> Outputs:
    """Ask about a few rows twice; refuses a wrong shape and answers that differ."""
    rows = torch.arange(len(inputs))
    batch = Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows), raw=raw)
    first, second = teacher.outputs(batch), teacher.outputs(batch)
    wanted = (len(inputs), *shape_of(teacher))
    if first.values.shape != wanted:
        raise RejectedError(
            f"The teacher answered {tuple(first.values.shape)} for {len(inputs)} rows, and says that its outputs are "
            f"{wanted}. It must answer one row of outputs for each input."
        )
    if not torch.equal(first.values.nan_to_num(), second.values.nan_to_num()):
        raise RejectedError(
            "The teacher answers differently when asked the same rows twice, so what is stored would not be what it "
            "says. Turn off its dropout and sampling (a module is put into eval mode; check custom `forward` code)."
        )
    return first


def refuse_coarse(teacher: Teacher, inputs: Tensor, *, shift: bool) -> None:
    """Refuse a teacher in half precision whose outputs move the students' gradient too far.

    The gradient is that of a student that has learned nothing: of the forward KL for equal probabilities of all
    classes (``shift``: outputs are logits), or of the squared error for the mean of the outputs. Its error is compared
    with its size, over all rows together.
    """
    teacher = whole_of(teacher)
    if not isinstance(teacher, ModuleTeacher) or teacher.precision == "32-true":
        return
    exact = ModuleTeacher(teacher.module, teacher.task, teacher.spec)
    rows = torch.arange(len(inputs))
    batch = Batch(inputs, torch.full_like(rows, -1), rows, torch.zeros_like(rows))
    rough, true = (t.outputs(batch).values.double() for t in (teacher, exact))
    if shift:
        rough, true = rough.softmax(-1), true.softmax(-1)
    nothing = 1 / true.shape[-1] if shift else true.mean(0)
    error = float((rough - true).norm() / (true - nothing).norm().clamp(min=1e-12))
    if error > COARSEST:
        raise RejectedError(
            f"In bfloat16 this teacher's outputs move the students' gradient by {100 * error:.1f} %, more than "
            f"{100 * COARSEST:.0f} %. Ask it in float32: leave out `[store] teacher_precision`."
        )
