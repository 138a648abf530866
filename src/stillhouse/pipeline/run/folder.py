"""The run folder: the contract between the stages, and the identity of a run."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from stillhouse import hashes, writing
from stillhouse.errors import DamagedError, RejectedError, UsageError
from stillhouse.files import copy, reading, write_atomic, write_json
from stillhouse.pipeline.run.differences import DATA, differences
from stillhouse.pipeline.run.progress import say

if TYPE_CHECKING:
    from stillhouse.recipe import Recipe

VERSION = 2  # of the folder's layout
UNVERIFIED = 1  # the version without hashes: it is read, and nothing in it is checked
RECORD = "run.json"
SCORES = "scores.json"
LEFT_OUT = "left_out"  # the key in run.json of what could not be made, and why
ROWS = "rows"  # the folder of rows that lie on disk
STUDY = "study"  # the folder of the tournament that chose the recipe
PILOT = "pilot"  # the folder of a small part of the run, which says whether the whole may pay
OVERWRITTEN = "overwritten"  # the key of a run that took the place of another
RECIPE = "recipe.toml"
PREPARED = (  # cheap to make again
    RECORD, ROWS, ".lock", RECIPE, "split.npz", "groups.npz", "row_hashes.npz", "first_answers.npz", hashes.NAME,
)  # fmt: skip
OWN = (  # without rows, candidates.npz, journal.jsonl and the stores: these carry a key and are used only where it fits
    "arms", "costs.json", "explanation.json", "export", "first_answers.npz", "fits", "full.json", "gallery.npz",
    "groups.npz", "keys.npz", "leaderboard.csv", "leaderboard.json", "leaderboard.tex", "links",
    "metrics.jsonl", "predictions.npz", "predictions_valid.npz", RECIPE, "report.html",
    "samples.json", "scores.json", "split.npz", "student", "taught.npz", "teacher", "teacher_same",
)  # fmt: skip
KEPT = (ROWS, "candidates.npz", "journal.jsonl", "store", "store_same", hashes.NAME, RECORD)
TASK = "task"  # the key of a task's name in parts and cards; absent for the default task
LIBRARIES = (
    "torch", "numpy", "scikit-learn", "scipy", "safetensors", "pandas", "tokenizers",
    "transformers",
)  # fmt: skip


class RunFolder:
    """A run folder: where everything lies, and what is known about it.

    Attributes:
        folder: the run folder.
        record: the contents of ``run.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record: dict[str, Any] = read_json(folder / RECORD)
        found = self.record.get("version")
        if found not in (VERSION, UNVERIFIED):
            raise DamagedError(
                f"{folder} has layout version {found}, this Stillhouse reads {VERSION}. "
                "Use the Stillhouse that wrote it, or run the recipe again into a new folder."
            )
        if not isinstance(self.record.get("parts"), dict):
            raise DamagedError(f"{folder / RECORD} names no parts of a run. Run the recipe again into a new folder.")
        refuse_links(folder)
        if found == UNVERIFIED:
            say(f"{folder} is of version {found} of the run folder, which keeps no hashes: its files are not verified.")

    def reading(self) -> AbstractContextManager[None]:
        """While its files are read: where no hash vouches for them, what is wrong in them is damage of the folder."""
        return reading(self.folder) if self.record["version"] == UNVERIFIED else nullcontext()

    @property
    def task_name(self) -> str:
        """The name of its task."""
        return task_name(self.record["parts"])

    @property
    def recipe(self) -> Recipe:
        """Its recipe.

        Raises:
            DamagedError: ``recipe.toml`` is not the recipe with which it was begun.
        """
        from stillhouse.recipe import read

        path = self.folder / RECIPE
        hashes.check(path)
        found = read(path)
        # An older recipe had fewer keys, so its digest here is another although nobody has edited it.
        if found.digest() != self.record["digest"] and self.record["version"] != UNVERIFIED:
            raise DamagedError(
                f"{path} is not the recipe with which the run was begun: it has been edited, and a judgement by other "
                f"rules would not be of this run. {hashes.cure(path)}"
            )
        return found

    @property
    def scores(self) -> dict[str, Any]:
        """The judgement, ``scores.json``."""
        return read_json(self.folder / SCORES)

    @property
    def report_path(self) -> Path:
        """Where the report is."""
        return self.folder / "report.html"

    def fit_folder(self, arm: str, seed: int) -> Path:
        """Where one student of one arm is trained."""
        return self.folder / "fits" / arm / str(seed)

    def note(self, **facts: Any) -> None:
        """Add facts to ``run.json``."""
        self.record |= facts
        write_json(self.folder / RECORD, self.record)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of a stage to what earlier, interrupted runs spent on it; also when it is interrupted."""
        begun = time.monotonic()
        try:
            yield
        finally:
            seconds = dict(self.record.get("seconds", {}))
            seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - begun, 3)
            self.note(seconds=seconds)

    def leave_out(self, part: str, why: Exception | str) -> None:
        """Note why a part that no judgement needs could not be made."""
        reason = why if isinstance(why, str) else f"{type(why).__name__}: {why}"
        say(f"Left out: {part} ({reason}).")
        self.note(**{LEFT_OUT: {**self.record.get(LEFT_OUT, {}), part: reason}})

    @contextmanager
    def optional(self, part: str) -> Iterator[None]:
        """Make a part that no judgement needs: where it fails, the run goes on without it."""
        if part in (before := self.record.get(LEFT_OUT, {})):
            self.note(**{LEFT_OUT: {name: why for name, why in before.items() if name != part}})
        try:
            yield
        except Exception as error:
            self.leave_out(part, error)


def open_run(
    recipe: Recipe,
    *,
    command: str,
    parts: dict[str, str],
    clear: Callable[[Path, Recipe, dict[str, str]], None] | None = None,
    changed: Callable[[Path], str] | None = None,
) -> RunFolder:
    """Create the run folder, or resume the one that this very recipe left.

    Args:
        recipe: the resolved recipe; ``output.dir`` is the folder.
        command: what the user typed, for the report.
        parts: fingerprints of what came from Python instead of the recipe (teacher, student, data).
        clear: removes a run of another recipe; None: it is refused.
        changed: says in which rows the data differ from those of a folder's run; empty where it cannot.

    Raises:
        UsageError: the folder belongs to another recipe, or holds something that is not a run.
    """
    folder, digest = recipe.output.dir, recipe.digest()
    record, more, text = folder / RECORD, {}, recipe.absolute().toml().encode()
    if record.exists() and not is_run(folder):
        raise UsageError(f"{record} is not that of a run, so {folder} is not touched. Choose another [output] dir.")
    if clear and is_run(folder) and not is_same(folder, digest, parts):
        clear(folder, recipe, parts)
        more = {OVERWRITTEN: True}
    if more or not record.exists():
        if not more:
            check_folder(folder)
        hashes.begin(folder, afresh=True)
        write_atomic(folder / RECIPE, text)
        first = {"version": VERSION, "digest": digest, "parts": parts, "command": command} | more
        write_json(record, first | {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "versions": versions()})
    run = RunFolder(folder)
    if run.record["digest"] != digest or run.record["parts"] != parts:
        rows = changed(folder) if changed and run.record["parts"].get(DATA) != parts.get(DATA) else ""
        odd = differences(folder / RECIPE, recipe, run.record["parts"], parts, rows)
        raise UsageError(
            f"{folder} holds a run of another recipe ({odd}). "
            'Choose another folder: `--output.dir FOLDER`, in Python `out="..."`. Or replace that run: `--overwrite`, '
            "in Python `overwrite=True`."
        )
    if run.record["version"] != VERSION:
        raise UsageError(
            f"{folder} holds a run of an earlier version of Stillhouse, which can be read and not continued. Choose "
            'another folder: `--output.dir FOLDER`, in Python `out="..."`. Or replace that run: `--overwrite`, in '
            "Python `overwrite=True`."
        )
    if not (folder / RECIPE).exists():
        write_atomic(folder / RECIPE, text)
    return run


def is_run(folder: Path) -> bool:
    """Whether a folder is a run of ours, of any version; also where its ``run.json`` is damaged."""
    try:
        found = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        found = None
    return (isinstance(found, dict) and {"version", "digest", "parts"} <= set(found)) or hashes.keeps(folder / RECORD)


def is_same(folder: Path, digest: str, parts: dict[str, str]) -> bool:
    """Whether a folder holds a sound run of this version, recipe and identity."""
    try:
        found = read_json(folder / RECORD)
        hashes.check(folder / RECIPE)
    except (DamagedError, UsageError):
        return False
    return (found.get("version"), found.get("digest"), found.get("parts")) == (VERSION, digest, parts)


def refuse_links(folder: Path) -> None:
    """Refuse links in the places of a run's own files: through them it would read and write elsewhere.

    Raises:
        UsageError: names the link.
    """
    for name in (*OWN, *KEPT):
        inside = (Path(place) / one for place, *names in os.walk(folder / name) for part in names for one in part)
        link = next((path for path in (folder / name, *inside) if path.is_symlink()), None)
        if link is not None:
            raise UsageError(
                f"{link} is a link to {link.readlink()}, and a run neither reads nor writes through links in its "
                "folder. Put the file or the folder itself there, or remove the link."
            )


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a run, or what is made before one starts.

    Raises:
        UsageError: it does.
        DamagedError: it holds a run whose ``run.json`` is gone.
    """
    if (folder / RECORD).exists() or not folder.exists():
        return
    if hashes.keeps(folder / RECORD):
        raise DamagedError(f"{folder / RECORD} is missing: it says what the run is. {hashes.cure(folder / RECORD)}")
    begun = (hashes.NAME, RECIPE) if hashes.keeps(folder / RECIPE) or not (folder / RECIPE).exists() else ()
    if any(p.name not in (".lock", ROWS, STUDY, PILOT, *begun) for p in folder.iterdir()):
        raise UsageError(f"{folder} is not empty and not a run folder. Choose another [output] dir.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder alone; a call that is refused before any work leaves no folder that was not there.

    Raises:
        UsageError: another process is at work in it, or it may not be written.
        StoppedError: the disk is full.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    begun = (folder / RECORD).exists()
    with writing.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(folder / ".lock", timeout=0).acquire()
        except Timeout:
            raise UsageError(
                f"Another process is at work in {folder}. Wait for it, or choose another folder."
            ) from None
    with held:
        writing.sweep(folder)
        try:
            yield
        except (UsageError, RejectedError):
            if not begun:
                forget(folder, new)
            raise


def forget(folder: Path, new: Sequence[Path]) -> None:
    """Remove what a refused call wrote, unless something expensive is among it.

    Args:
        folder: of the run.
        new: the folders that this call made, the innermost first.
    """
    if any(path.name not in PREPARED for path in folder.iterdir()):
        return
    for path in folder.iterdir():
        if path.name != ".lock" or new:
            remove(path)
    for made in new:
        if not any(made.iterdir()):
            made.rmdir()


def remove(path: Path) -> None:
    """Remove a file or a folder; of a link only the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        writing.remove(path)


def inherit(inherited: Mapping[str, Path], folder: Path) -> None:
    """Copy into a run folder what would be the same there; a truncated copy is made again.

    Args:
        inherited: folders and files of another run, by their name here.
        folder: of the run.
    """
    for name, source in inherited.items():
        target = folder / name
        if target.exists() or not source.exists():
            continue
        if source.is_file():
            copy(source, target)
            continue
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial, copy_function=copy)
        writing.rename(partial, target)
        writing.sync_folder(folder)


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the folder's JSON files.

    Raises:
        UsageError: it is not there.
        DamagedError: it is not JSON.
    """
    hashes.check(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("it is no table")  # as what is no JSON
    except FileNotFoundError:
        raise UsageError(
            f"{path} is not there: {path.parent} is not a finished run. Run its recipe first: `stillhouse distill "
            "recipe.toml`."
        ) from None
    except OSError as error:
        raise hashes.cannot_read(path, error) from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} cannot be read ({error}). {hashes.cure(path)}") from error
    found: dict[str, Any] = value
    return found


def task_name(facts: dict[str, Any]) -> str:
    """The task that a student's card or the parts of a run name; the default task is not named."""
    from stillhouse.recipe import TaskSection

    return str(facts.get(TASK, TaskSection().name))


def versions() -> dict[str, str]:
    """Versions of what computed this run."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in ("stillhouse", *LIBRARIES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
