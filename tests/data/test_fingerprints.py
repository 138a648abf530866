"""The identity of a run and of a store: hashes of these rows and labels, as they were before targets of any task."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.data.reading import from_torch, read

ROWS = 24
FRAME = pd.DataFrame(
    {
        "age": [20.5 + i for i in range(ROWS)],
        "town": ["ab"[i % 2] for i in range(ROWS)],
        "label": [["no", "yes", ""][i % 3] for i in range(ROWS)],
    }
)
FILES: dict[str, tuple[dict[str, Any], str, tuple[Any, ...]]] = {
    "csv": ({"path": "t.csv"}, "3e94d8a4ac43edd3", ("no", "yes")),
    "numbers": ({"path": "n.csv"}, "4cc9e73812b96d8d", (0, 1, 10)),
    "parquet": ({"path": "n.parquet"}, "4cc9e73812b96d8d", (0, 1, 10)),
    "gaps": ({"path": "g.parquet"}, "7bfc5f729f0b770d", (0, 1)),
    "truth": ({"path": "t.jsonl"}, "66abff459a646ea8", (False, True)),
    "text": ({"text": "w.csv"}, "647e478973a0a2ac", ("neg", "pos")),
    "npz": ({"arrays": "x.npz"}, "444b5db974169dab", (0, 1, 2)),
    "npz of text": ({"arrays": "s.npz"}, "4c3c6c11a39194c3", ("a", "b")),
    "images": ({"images": "images"}, "ed6d65a51f9d2acb", ("cat", "dog")),
    "declared": ({"path": "t.csv", "classes": ["yes", "no", "maybe"]}, "51c7371a9d321e6d", ("yes", "no", "maybe")),
    "positions": ({"arrays": "x.npz", "classes": ["a", "b", "c"]}, "d7f39143711e1536", (0, 1, 2)),
    "digits": ({"name": "digits"}, "ce896a81af976a10", tuple(range(10))),
    "breast_cancer": ({"name": "breast_cancer"}, "e457b83b1254caf1", ("malignant", "benign")),
    "mnist5k": ({"name": "mnist5k"}, "ea41a2953862d9f6", tuple(range(10))),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    FRAME.to_csv(folder / "t.csv", index=False)
    numbers = FRAME.assign(label=[[1, 0, 10][i % 3] for i in range(ROWS)])
    numbers.to_csv(folder / "n.csv", index=False)
    numbers.to_parquet(folder / "n.parquet")
    FRAME.assign(label=np.resize([1.0, 0.0, np.nan], ROWS)).to_parquet(folder / "g.parquet")
    lines = [json.dumps({"age": i, "label": bool(i % 2)}) for i in range(ROWS)]
    (folder / "t.jsonl").write_text("\n".join(lines))
    texts = [f"word {i} and {i * i}" for i in range(ROWS)]
    pd.DataFrame({"text": texts, "label": ["neg", "pos"] * 12}).to_csv(folder / "w.csv", index=False)
    x = np.arange(ROWS * 3, dtype=np.float32).reshape(ROWS, 3)
    np.savez(folder / "x.npz", x=x, y=np.arange(ROWS - 4) % 3)
    np.savez(folder / "s.npz", x=x, y=np.array(["b", "a", ""] * 8))
    for name in ("cat", "dog", "unlabelled"):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((4, 5), 20 * i + len(name), np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{i}.png")
    return folder


@pytest.mark.parametrize("kind", FILES)
def test_files_keep_their_fingerprint_and_labels_come_back_as_they_were_written(folder: Path, kind: str) -> None:
    settings, fingerprint, given = FILES[kind]
    places = {k: folder / v if k in ("path", "text", "arrays", "images") else v for k, v in settings.items()}
    source = read(**places)
    assert source.fingerprint() == fingerprint
    assert source.targets.dtype == np.int64
    assert source.label_values == given
    assert [type(value) for value in source.label_values] == [type(value) for value in given]


X = torch.arange(24.0).view(12, 2)
Y = torch.arange(12) % 3
NAMES = ["b", "a", "c"] * 4
TABLE = pd.DataFrame({"a": X[:, 0].numpy(), "b": NAMES})
PARTS: dict[str, tuple[Any, str, tuple[Any, ...]]] = {
    "tensors": (((X, Y), None, (X, Y)), "e07f826adc4a1c04", (0, 1, 2)),
    "names": (((X, NAMES), None, (X, NAMES)), "f9b9ffe3fa3693de", ("a", "b", "c")),
    "unlabelled": (((X, None), (X, NAMES), (X, NAMES)), "1cbe11b8b927a0c4", ("a", "b", "c")),
    "truth": (((X, Y > 0), None, (X, Y > 0)), "509b8108f176ba73", (False, True)),
    "texts": (((["a b", "c d"] * 6, NAMES), None, (["e"] * 12, NAMES)), "1aa2c4c2050bb488", ("a", "b", "c")),
    "frame": (((TABLE, NAMES), None, (TABLE, NAMES)), "e3c4a912678bc24d", ("a", "b", "c")),
}


@pytest.mark.parametrize("kind", PARTS)
def test_data_from_python_keep_their_fingerprint_and_labels_come_back_as_they_were_given(kind: str) -> None:
    parts, fingerprint, given = PARTS[kind]
    source, _ = from_torch(*parts)
    assert source.fingerprint() == fingerprint
    assert source.label_values == given
    assert [type(value) for value in source.label_values] == [type(value) for value in given]
