"""Fitted models from files, through formats that cannot run code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xxhash

from stillhouse.errors import RejectedError, UsageError
from stillhouse.extras import library
from stillhouse.files import add_contents
from stillhouse.task import OutputSpec, Task
from stillhouse.teachers.fitted.boosters import load_booster, load_catboost
from stillhouse.teachers.fitted.objects import from_object, refuse_kind
from stillhouse.teachers.fitted.onnx import OnnxTeacher
from stillhouse.teachers.fitted.teacher import Decode, FittedTeacher
from stillhouse.teachers.identity import version_of

KNOWN = ".txt (LightGBM), .json and .ubj (XGBoost), .cbm (CatBoost), .skops (scikit-learn), .onnx"
PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".sav")
TORCH = (".pt", ".pth", ".bin", ".ckpt", ".th")
ENOUGH = 16  # bytes that tell what a file is


def load_fitted(
    path: Path, task: Task, spec: OutputSpec, *, decode: Decode, kind: str | None = None, trusted: Sequence[str] = ()
) -> FittedTeacher:
    """A fitted model from a file: its suffix says the format, and its first bytes must agree.

    Args:
        path: LightGBM's .txt, XGBoost's .json or .ubj, CatBoost's .cbm, scikit-learn's .skops, or .onnx.
        task: of the run.
        spec: of the outputs. Names of classes in CatBoost, skops and ONNX files are matched with its names; outputs of
            other files are taken in order.
        decode: from encoded inputs to raw rows, for batches that do not carry them.
        kind: what it answers, one of ``task.teachers.kinds``; None: as the output of an ONNX file is called, else
            decided by the first answers; of a model of scikit-learn its probabilities.
        trusted: types in a skops file that you trust beyond those that skops itself trusts.

    Raises:
        UsageError: there is no such file, its suffix is unknown, or an extra is not installed.
        RejectedError: the format could run code; the file is not what its suffix says, or is damaged; it knows other
            classes than the data.
    """
    if not path.is_file():
        raise UsageError(f"There is no file {path}. Name the fitted teacher's file: {KNOWN}.")
    suffix = path.suffix.lower()
    refuse_code(path, suffix)
    if suffix == ".onnx":
        return OnnxTeacher(path, task, spec, decode=decode, kind=kind)
    refuse_mismatch(path, suffix)
    if suffix == ".skops":
        model, size = load_skops(path, trusted), path.stat().st_size
        known = file_identity(path, "sklearn")
        return from_object(model, task, spec, decode=decode, kind=kind, identity=known, nbytes=size)
    name = {".txt": "lightgbm", ".cbm": "catboost"}.get(suffix, "xgboost")
    identity = file_identity(path, name)
    if name == "catboost":
        model, size = load_catboost(path, task, spec), path.stat().st_size
        return from_object(model, task, spec, decode=decode, kind=kind, identity=identity, nbytes=size)
    refuse_kind(path.name, kind)
    return load_booster(path, task, spec, name, decode=decode, identity=identity)


def load_skops(path: Path, trusted: Sequence[str]) -> Any:
    """An estimator from a skops file; refuses one with types that neither skops nor the caller trusts."""
    skops = library("skops.io", "This teacher")
    try:
        unknown = sorted(set(skops.get_untrusted_types(file=path)) - set(trusted))
        if not unknown:
            return skops.load(path, trusted=list(trusted))
    except Exception as error:  # skops meets whatever a damaged archive makes it meet
        raise RejectedError(
            f"{path} cannot be read as a skops file: {type(error).__name__}: {error}. It may be truncated, or need a "
            "library that is not installed; write it again with `skops.io.dump`."
        ) from error
    raise RejectedError(
        f"{path} holds types that skops does not trust: {', '.join(unknown)}. Building them may run code that came "
        "with the file. Export the model to ONNX; or, for a booster, save it in its own format; or, if you know who "
        "made the file, load it in Python with `load_fitted(path, task, spec, decode=..., trusted=[...])`."
    )


def refuse_code(path: Path, suffix: str) -> None:
    """Refuse formats that run code when they are read, whatever their suffix."""
    with path.open("rb") as file:
        head = file.read(ENOUGH)
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if suffix in PICKLES or pickled:
        raise RejectedError(
            f"{path} is a pickle, and reading a pickle runs whatever code is in it. Save the model in a format that "
            "holds numbers only: LightGBM, XGBoost and CatBoost by their own `save_model` (.txt, .json, .cbm), "
            "scikit-learn by `skops.io.dump` (.skops) or as ONNX; or hand the loaded model over in Python: "
            "`distill(teacher=model, ...)`."
        )
    if suffix in TORCH:
        raise RejectedError(
            f"{path} holds torch weights in a format built on pickle, and says nothing of the net they belong to. "
            "Save the weights as safetensors beside a Hugging Face `config.json`, export the net to ONNX, or hand the "
            "module over in Python: `distill(teacher=module, ...)`."
        )


def refuse_mismatch(path: Path, suffix: str) -> None:
    """Refuse an unknown suffix, and a file that does not begin as its suffix says."""
    begins = {".txt": b"tree\n", ".json": b"{", ".ubj": b"{", ".cbm": b"CBM1", ".skops": b"PK\x03\x04"}
    if suffix not in begins:
        raise UsageError(f"{path} has a suffix that names no known kind of teacher. Known are {KNOWN}.")
    with path.open("rb") as file:
        head = file.read(ENOUGH).replace(b"\r\n", b"\n").lstrip()
    if not head.startswith(begins[suffix]):
        raise RejectedError(
            f"{path} does not begin as a {suffix} file does ({begins[suffix]!r}), but with {head!r}. Known are "
            f"{KNOWN}; give the file the suffix of what it is, or save it again."
        )


def file_identity(path: Path, name: str) -> str:
    """Hash of a file's bytes and of the version of the library that reads it, which must be installed."""
    library(name, "This teacher")
    digest = xxhash.xxh3_128(f"{name} {version_of(name)} ".encode())
    add_contents(digest, path)
    return digest.hexdigest()
