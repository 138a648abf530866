"""A reader of Stillhouse stores for someone who has numpy and docs/store.md, and nothing of Stillhouse."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt


class Reader:
    def __init__(self, folder: Path) -> None:
        self.manifest = json.loads((folder / "manifest.json").read_text())
        assert self.manifest["format"] == "stillhouse store"
        assert self.manifest["version"] == 1
        self.arrays = {}
        for field in self.manifest["fields"]:
            file = folder / (quote(field["name"], safe="") + ".npy")
            self.arrays[field["name"]] = np.load(file, mmap_mode="r", allow_pickle=False)

    def committed(self, row: int) -> bool:
        return self.manifest["blocks"][row // self.manifest["block_rows"]] is not None

    def read(self, row: int, view: int) -> dict[str, npt.NDArray[Any]]:
        assert self.committed(row)
        found = {}
        for field in self.manifest["fields"]:
            value = np.array(self.arrays[field["name"]][row, view])
            assert value.shape == tuple(field["shape"])
            if field["dtype"] == "bfloat16":
                value = (value.astype(np.uint32) << 16).view(np.float32)
            found[field["name"]] = value
        return found
