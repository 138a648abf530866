"""What never ends or is far too large is refused by its size or its kind, before it is read."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w

from stillhouse import students
from stillhouse.archives import open_npz
from stillhouse.errors import UsageError
from tests.shell import run


@pytest.mark.fault("E15", "a recipe or a gate that is a device, a pipe, or of 100 MB", exit=2)
def test_a_recipe_is_a_small_regular_file(tmp_path: Path, finished: Path) -> None:
    pipe, large = tmp_path / "pipe.toml", tmp_path / "large.toml"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(100_000_000)
    for name in ("/dev/zero", pipe, large):
        for command in (f"distill {name}", f"check {finished} --gate {name}"):
            code, _, err = run(command)
            assert (code, str(name) in err) == (2, True), err


@pytest.mark.fault("E15", "a pipe or a device as data, which are read more than once", exit=4)
def test_data_are_files_and_the_cure_works(tmp_path: Path, finished: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    for command in (f"distill --data.path {pipe} --data.target b", f"predict {finished} {pipe}"):
        code, _, err = run(command)
        assert (code, "Save it in a file first" in err) == (4, True), err
    (tmp_path / "rows.csv").write_bytes((finished.parent / "rows.csv").read_bytes())
    assert run(f"predict {finished} {tmp_path / 'rows.csv'} -o {tmp_path / 'out.csv'}")[0] == 0


@pytest.mark.fault("E15", "a line of 300 MB in a table", exit=4)
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_line_without_an_end_is_refused_by_its_number(name: str, tmp_path: Path) -> None:
    with (tmp_path / name).open("w") as file:
        file.write("a,b\n1,2\n")
        file.write("x" * (1 << 24))
    code, _, err = run(f"distill --data.path {tmp_path / name} --data.target b")
    assert code == 4
    assert "line 3 (counted from 1)" in err
    assert len(err) < 1000


@pytest.mark.fault("E15", "a net of 20,000 or 10^6 layers, or of more numbers than the memory holds", exit=2)
@pytest.mark.parametrize(
    ("name", "shape", "settings"),
    [
        ("mlp_tiny", (4,), {"hidden": [2] * 20_000}),
        ("mlp_tiny", (4,), {"hidden": [10**6, 10**6]}),
        ("mlp_tiny", (4,), {"hidden": [10**30]}),
        ("cnn_tiny", (1, 28, 28), {"channels": [4] * 20_000}),
        ("resnet_tiny", (1, 28, 28), {"depth": 10**6}),
        ("vit_tiny", (1, 28, 28), {"layers": 10**6}),
        ("transformer_tiny", (16,), {"vocabulary": 99, "layers": 10**6}),
        ("gru_tiny", (16,), {"vocabulary": 99, "layers": 10**6}),
        ("bag_hashed", (16,), {"vocabulary": 99, "buckets": 10**12}),
        ("soft_tree", (4,), {"trees": 10**9, "depth": 10}),
    ],
)
def test_a_net_that_no_machine_holds_is_refused(name: str, shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=name):
        students.make(name, shape=shape, outputs=2, settings=settings)


def test_a_recipe_with_such_a_net_is_refused(tmp_path: Path) -> None:
    table = {"data": {"name": "digits"}, "student": {"name": "mlp_tiny", "settings": {"hidden": [2] * 20_000}}}
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(table | {"output": {"dir": str(tmp_path / "run")}}))
    code, _, err = run(f"distill {tmp_path / 'recipe.toml'}")
    assert (code, "20,000 layers" in err) == (2, True), err
    assert not (tmp_path / "run").exists()


@pytest.mark.fault("E16", "a student's card asks for more than the weights beside it", exit=5)
@pytest.mark.parametrize("hidden", [[10**6], [10**9, 10**9], [2] * 900, [10**30], "many", None])
def test_a_card_is_compared_with_its_weights_before_memory_is_taken(hidden: Any, copied: Path) -> None:
    from tests.faults.test_mutations import unsealed

    card = json.loads((copied / "student" / "model.json").read_text())
    net = card["net"]
    assert "settings" in net
    net["settings"] = {"hidden": hidden}
    (copied / "student" / "model.json").write_text(json.dumps(card | {"schema": 1}))
    unsealed(copied)
    (copied / "student" / "hashes.json").unlink(missing_ok=True)
    code, _, err = run(f"predict {copied} {copied.parent / 'rows.csv'}")
    assert code in (2, 5), err
    assert "unexpected" not in err


def declaring(path: Path, shape: str, held: bytes = b"\0" * 64, packing: int = zipfile.ZIP_STORED) -> None:
    """Write an archive of labels and of an x of any shape, which holds a few bytes."""
    np.savez(path, y=np.zeros(4, np.int64))
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with zipfile.ZipFile(path, "a") as archive:
        magic = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little")
        archive.writestr("x.npy", magic + head.encode() + held, packing)


@pytest.mark.fault("E16", "an archive of arrays that declares more numbers than it holds", exit=4)
@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", ["(1000000, 1000000)", "(1000000000000,)", "(-1, 4)", "(3, 10)"])
def test_an_archive_is_compared_with_its_size_before_memory_is_taken(shape: str, packing: int, tmp_path: Path) -> None:
    file = tmp_path / "rows.npz"
    declaring(file, shape, packing=packing)
    with pytest.raises(ValueError, match="declares"):
        open_npz(file)
    code, _, err = run(f"distill --data.arrays {file} --output.dir {tmp_path / 'run'}")
    assert (code, "declares" in err) == (4, True), err
    declaring(file, "(4, 4)", packing=packing)
    with open_npz(file) as held:
        assert held["x"].shape == (4, 4)


@pytest.mark.fault("E16", "arrays of a run that declare more numbers than they hold", exit=5)
@pytest.mark.parametrize("name", ["predictions.npz", "valid.npz", "groups.npz"])
def test_arrays_of_a_run_are_compared_with_their_size(name: str, copied: Path) -> None:
    from tests.faults.test_mutations import unsealed

    unsealed(copied)
    declaring(copied / name, "(1000000, 1000000)")
    for command in (f"evaluate {copied}", f"report {copied}"):
        code, _, err = run(command)
        assert code in (0, 5), err  # a page without groups needs no groups
        assert "unexpected" not in err


@pytest.mark.fault("E16", "a folder of arrays whose file declares more numbers than it holds", exit=4)
@pytest.mark.parametrize("name", ["x.npy", "y.npy"])
def test_a_folder_of_arrays_is_compared_with_its_size(name: str, tmp_path: Path) -> None:
    for one in ("x", "y"):
        np.save(tmp_path / f"{one}.npy", np.zeros((4, 4) if one == "x" else 4))
    data = (tmp_path / name).read_bytes().replace(b"(4,", b"(4000000000000,")
    (tmp_path / name).write_bytes(data)
    code, _, err = run(f"distill --data.arrays {tmp_path} --output.dir {tmp_path / 'run'}")
    assert (code, "Write it with `numpy.save`" in err) == (4, True), err


def test_no_module_opens_an_archive_by_itself() -> None:
    allowed = {"archives.py", "data/formats/arrays.py", "data/on_disk/mapped.py"}  # the others map single arrays
    source = Path(students.__file__).parents[1]
    found = {p.relative_to(source).as_posix() for p in source.rglob("*.py") if "np.load(" in p.read_text()}
    assert found <= allowed
