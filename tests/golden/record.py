"""What three small runs give and how six commands end, as one JSON-able value.

python -m tests.golden.record        renews record.json: only where a change of the results is meant
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.numpy
import torch
import xxhash
from threadpoolctl import threadpool_limits

import stillhouse
from stillhouse.cli import main
from tests.golden.recipes import RECIPES, write_one_class, write_recipe

RECORD = Path(__file__).with_name("record.json")
LIBRARIES = (
    "torch",
    "numpy",
    "scikit-learn",
    "scipy",
    "lightgbm",
    "tokenizers",
)  # whose arithmetic or drawing the bits follow
# Words, clocks, versions and names: no figures of the judgement.
ASIDE = re.compile(r"schema|warnings|(costs|versions|hashes)\..*|models\.[^.]+\.ms_\d+|saw\.[^.]+\.teacher")

Figure = float | None | list[float | None]


def observe(folder: Path) -> dict[str, Any]:
    """Run everything, below a folder."""
    with one_thread(), quiet():
        runs = {name: run(folder, name) for name in RECIPES}
        return {"machine": machine(), "runs": runs, "codes": codes(folder)}


def run(folder: Path, name: str) -> dict[str, Any]:
    """Distil one recipe into ``folder/<name>/run``; returns what it gave."""
    recipe = write_recipe(folder / name, name)
    stillhouse.distill(recipe, accept_teacher=True)
    done = recipe.parent / "run"
    return {
        "weights": {
            str(file.parent.relative_to(done)): tensors(file) for file in sorted(done.rglob("model.safetensors"))
        },
        "stores": {
            str(file.relative_to(done)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(done.glob("store*/*"))
            if file.suffix in (".npy", ".json")
        },
        "figures": dict(figures(json.loads((done / "scores.json").read_text(encoding="utf-8")))),
    }


def tensors(file: Path) -> dict[str, str]:
    """Hash of each tensor: its type, shape and bits."""
    found = safetensors.numpy.load_file(file)
    return {
        name: xxhash.xxh3_128_hexdigest(f"{array.dtype}{array.shape}".encode() + array.tobytes())
        for name, array in sorted(found.items())
    }


def figures(value: Any, path: str = "") -> Iterator[tuple[str, Figure]]:
    """Every figure of a judgement by dotted path: a number, null where it is not defined, or a row of such.

    A list of flat tables, such as the bins of a reliability diagram, becomes a row for each of their columns.
    """
    if ASIDE.fullmatch(path):
        return
    if is_figure(value) or (isinstance(value, list) and all(map(is_figure, value))):
        yield path, value
        return
    if isinstance(value, list) and all(map(is_flat, value)):
        value = {f"*.{key}": [table.get(key) for table in value] for key in value[0]}
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from figures(inner, f"{path}.{key}" if path else str(key))


def is_flat(value: Any) -> bool:
    """Whether it is a table of figures and words."""
    return isinstance(value, dict) and all(is_figure(v) or isinstance(v, str) for v in value.values())


def is_figure(value: Any) -> bool:
    """Whether it is a number, or null."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def codes(folder: Path) -> dict[str, int]:
    """Exit codes of commands that end in each way; the run of the table is there already."""
    recipe, done = folder / "table" / "recipe.toml", folder / "table" / "run"
    aside = folder / "codes"
    unknown = write_recipe(aside / "unknown", "table", student={"nmae": "mlp_tiny"})
    single = write_recipe(aside / "single", "table", data={"path": "one.csv"})
    write_one_class(single.parent / "one.csv")
    gate = aside / "gate.toml"
    gate.write_text("max_bytes = 10\n", encoding="utf-8")
    damaged = aside / "damaged"
    shutil.copytree(done / "store", damaged)
    flip(max(damaged.glob("*.npy"), key=lambda file: file.stat().st_size))
    return {
        "a good recipe": code("distill", recipe, "--accept-teacher"),
        "an unknown key": code("distill", unknown),
        "a recipe that is not there": code("distill", aside / "missing.toml"),
        "a gate that is not met": code("check", done, "--gate", gate),
        "data of one class": code("distill", single),
        "a store with a flipped bit": code("store", "verify", damaged),
    }


def code(*words: str | Path) -> int:
    """Exit code of a command, in this process."""
    return main([str(word) for word in words])


def flip(file: Path) -> None:
    """Flip the last bit of a file."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def machine() -> dict[str, str]:
    """What the bits depend on beside the code."""
    return {
        "processor": processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
    }


def processor() -> str:
    """The processor's own name."""
    described = Path("/proc/cpuinfo")
    text = described.read_text(encoding="utf-8") if described.exists() else ""
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread in every library: sums of several depend on who comes first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what is said along the way."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def renew() -> None:
    """Write the record anew."""
    with tempfile.TemporaryDirectory() as folder:
        found = observe(Path(folder))
    RECORD.write_text(written(found) + "\n", encoding="utf-8")


def written(value: Any, depth: int = 0) -> str:
    """As JSON, one line an entry, lists on one line."""
    if not isinstance(value, dict):
        return json.dumps(value)
    inner = ",\n".join(f"{' ' * (depth + 1)}{json.dumps(k)}: {written(v, depth + 1)}" for k, v in value.items())
    return f"{{\n{inner}\n{' ' * depth}}}"


if __name__ == "__main__":
    renew()
