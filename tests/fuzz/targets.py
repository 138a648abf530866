"""A fuzz target for each parser: from bytes to nothing, or to an error that the product documents.

Each is a plain function, so any fuzzer may drive it; ``test_fuzz`` does with hypothesis.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stillhouse import recipe
from stillhouse.data import read
from stillhouse.engine import read_weights
from stillhouse.errors import StillhouseError
from stillhouse.pipeline.student.load import load_student
from stillhouse.store import Store
from stillhouse.store.manifest import NAME, PLAN, read_manifest, sealed
from stillhouse.store.parts import read_plan, read_root
from stillhouse.tasks.classification.task import TASK
from stillhouse.teachers.endpoint.answers import MalformedError, parse, reply_of, settle
from stillhouse.teachers.endpoint.journal import Journal
from stillhouse.teachers.endpoint.naming import Naming, ids_for

Target = Callable[[bytes, Path], None]
CLASSES = ("sport", "politics", "science")
NAMING = Naming(ids_for(CLASSES), CLASSES)
CARDS = Path(__file__).parent / "corpus" / "card"


def of_recipe(data: bytes, room: Path) -> None:
    """A recipe; what is read is written and read again."""
    (room / "recipe.toml").write_bytes(data)
    found = recipe.read(room / "recipe.toml")
    (room / "recipe.toml").write_text(found.toml())
    assert recipe.read(room / "recipe.toml").digest() == found.digest()


def _of_table(data: bytes, file: Path) -> None:
    file.write_bytes(data)
    for target in (None, "kind"):
        with contextlib.suppress(StillhouseError):
            source = read(path=file, target=target, read_targets=TASK.read_targets)
            assert len(source.row_hashes()) == len(source) == len(source.targets)


def of_csv(data: bytes, room: Path) -> None:
    """A table of comma-separated values."""
    _of_table(data, room / "rows.csv")


def of_jsonl(data: bytes, room: Path) -> None:
    """A table of JSON objects, one a line."""
    _of_table(data, room / "rows.jsonl")


def of_manifest(data: bytes, room: Path) -> None:
    """The manifest, and the plan, of a store; with the checksum that a forger would write."""
    for whole in (data, sealed(data.partition(b"\n")[2].decode("utf-8", "replace"))):
        (room / NAME).write_bytes(whole)
        for parse_it in (
            lambda: read_manifest(room),
            lambda: Store.open(room),
            lambda: read_root((room / NAME).read_bytes(), str(room / NAME)),
            lambda: read_plan((room / NAME).read_bytes(), str(room / PLAN)),
        ):
            with contextlib.suppress(StillhouseError):
                parse_it()


def of_card(data: bytes, room: Path) -> None:
    """The card of a student, beside its weights."""
    for path in CARDS.glob("*.safetensors"):
        shutil.copy(path, room / "model.safetensors")
    (room / "model.json").write_bytes(data)
    load_student(room)


def of_answer(data: bytes, room: Path) -> None:
    """The body of a service's answer."""
    with contextlib.suppress(MalformedError):
        reply = parse(data, NAMING)
        again = reply_of(json.loads(json.dumps({"key": "k"} | reply.record())), len(CLASSES))
        assert (again.kind, again.label) == (reply.kind, reply.label)
        settled = settle([reply], 1, 1.0, len(CLASSES))
        if settled is not None and settled.log_probs is not None:
            assert np.isclose(np.exp(settled.log_probs.astype(np.float64)).sum(), 1.0, atol=1e-3)


def of_journal(data: bytes, room: Path) -> None:
    """The journal of a service's answers."""
    (room / "journal.jsonl").write_bytes(data)
    journal = Journal(room / "journal.jsonl")
    with journal.session():
        for record in journal.of("me"):
            reply_of(record, len(CLASSES))


def of_npz(data: bytes, room: Path) -> None:
    """An archive of arrays."""
    (room / "rows.npz").write_bytes(data)
    read(arrays=room / "rows.npz", read_targets=TASK.read_targets)


def of_weights(data: bytes, room: Path) -> None:
    """A checkpoint: a file of tensors."""
    (room / "checkpoint.safetensors").write_bytes(data)
    read_weights(room / "checkpoint.safetensors", ours=False)


TARGETS: dict[str, Target] = {
    "recipe": of_recipe, "csv": of_csv, "jsonl": of_jsonl, "manifest": of_manifest, "card": of_card,
    "answer": of_answer, "journal": of_journal, "npz": of_npz, "weights": of_weights,
}  # fmt: skip


def tried(name: str, data: bytes, room: Path) -> None:
    """Run a target; the errors of the product are its answers."""
    with contextlib.suppress(StillhouseError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with one row, of names that stand twice
        TARGETS[name](data, room)
