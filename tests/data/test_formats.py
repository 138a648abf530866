"""Formats: rows to predict on come out of every format as they were trained on; encoders say what their rows are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stillhouse.data import fit_encoder, read_inputs
from stillhouse.data.encoders.tensors import IdentityEncoder
from stillhouse.errors import UsageError
from tests.data.reading import read
from tests.data.saved_folders import save

ROWS = 6
TABLE: dict[str, list[Any]] = {"x": [1.5, 2.0, 3.0, 4.0, 5.0, 6.0], "town": list("ababab"), "label": list("nnyyny")}
TEXTS: dict[str, list[Any]] = {"text": ["a b c", "b c d", "c d e", "d e f", "e f a", "f a b"], "label": list("nnyyny")}


def written(folder: Path, form: str) -> dict[str, Any]:
    """Write rows in one form; returns the key of [data] and the place."""
    key, _, suffix = form.partition(" ")
    columns = TEXTS if key == "text" else TABLE
    path = folder / f"t.{suffix}"
    if suffix == "parquet":
        pd.DataFrame(columns).to_parquet(path)
    elif suffix == "jsonl":
        pd.DataFrame(columns).to_json(path, orient="records", lines=True)
    elif suffix in ("csv", "tsv"):
        pd.DataFrame(columns).to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    elif suffix == "saved":
        path = save(path, columns, {})
    elif suffix == "npz":
        np.savez(path, x=np.arange(12.0).reshape(ROWS, 2), y=np.arange(ROWS) % 2)
    elif suffix == "npy":
        path.mkdir()
        np.save(path / "x.npy", np.arange(12.0).reshape(ROWS, 2))
        np.save(path / "y.npy", np.arange(ROWS) % 2)
    else:
        for i in range(ROWS):
            place = path / "ab"[i % 2] / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 5), 40 * i, np.uint8)).save(place)
    return {key: path}


FORMS = (
    *("path csv", "path tsv", "path jsonl", "path parquet", "path saved"),
    *("text csv", "text jsonl", "text parquet", "arrays npz", "arrays npy", "images folder"),
)


@pytest.mark.parametrize("form", FORMS)
def test_rows_to_predict_on_are_those_of_training(tmp_path: Path, form: str) -> None:
    place = written(tmp_path, form)
    source = read(**place)
    encoder = fit_encoder(source, np.arange(ROWS))
    found = read_inputs(next(iter(place.values())), encoder, column=source.column or None)
    wanted = encoder.encode(source.take(np.arange(ROWS)))
    assert torch.equal(encoder.encode(found.rows), wanted)
    assert (found.files is not None) == (source.kind == "image")


@pytest.mark.parametrize("form", FORMS)
def test_what_an_encoder_says_of_its_rows_fits_them(tmp_path: Path, form: str) -> None:
    source = read(**written(tmp_path, form))
    encoder, raw = fit_encoder(source, np.arange(ROWS)), source.take(np.arange(ROWS))
    encoded = encoder.encode(raw)
    example = encoder.example(5, torch.Generator().manual_seed(0))
    assert (example.dtype, example.shape[1:]) == (encoded.dtype, encoded.shape[1:])
    assert len(encoder.columns()) == encoded[0].numel()
    shown = encoder.preview(raw)
    assert len(shown["inputs"]) == ROWS
    assert shown["inputs"].dtype != object
    readable = encoder.readable(raw)
    assert (readable is None) == (source.kind == "text")
    if readable is not None:
        assert readable.values.shape == (ROWS, len(readable.names))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, np.float32])
def test_made_up_rows_of_the_users_own_tensors_are_of_their_type_and_range(dtype: type) -> None:
    drawn = np.random.default_rng(0).integers(0, 2 if dtype is np.bool_ else 30, (20, 4))
    raw: np.ndarray = drawn.astype(dtype)
    encoder = IdentityEncoder.fit(raw)
    for same in (encoder, IdentityEncoder.from_state(json.loads(json.dumps(encoder.state())))):
        made = same.example(50, torch.Generator().manual_seed(0))
        assert (made.dtype, made.shape) == (encoder.encode(raw).dtype, (50, 4))
        if dtype is not np.float32:
            assert raw.min() <= made.min() <= made.max() <= raw.max()


def test_a_key_that_a_format_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[data\] header belong to tables and texts, not to `arrays`"):
        read(**written(tmp_path, "arrays npz"), header=True)
    with pytest.raises(UsageError, match="column belong to texts, not to `path`"):
        read(**written(tmp_path, "path csv"), column="town")
