"""Labelling by Ray: what is lost is asked again and nothing else, and the bytes are those of one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import stillhouse as sh
from stillhouse.errors import UsageError
from stillhouse.pipeline.distributed import on_ray
from stillhouse.store.part_care import status
from stillhouse.store.places import Folder
from tests.shell import process
from tests.store import tiny_parts

RECIPE = """
[data]
arrays = "FOLDER/rows.npz"
[teacher]
name = "mlp_tiny"
[teacher.training]
steps = 20
[student]
name = "mlp_tiny"
[store]
part_bytes = 128
[output]
dir = "FOLDER/run"
"""


def recipe_in(folder: Path) -> Path:
    """A recipe whose store has some 40 parts."""
    folder.mkdir(parents=True)
    inputs = np.random.default_rng(0).normal(size=(800, 6)).astype("float32")
    np.savez(folder / "rows.npz", x=inputs, y=inputs[:, :3].argmax(1))
    (folder / "recipe.toml").write_text(RECIPE.replace("FOLDER", str(folder)))
    return folder / "recipe.toml"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The store of one process."""
    folder = tmp_path_factory.mktemp("one") / "f"
    sh.label(str(recipe_in(folder)), verbose=False)
    return tiny_parts.contents(folder / "run" / "store")


def sidecars(folder: Path) -> dict[str, int]:
    """The committed parts of a run's store, and which file each is."""
    return {path.name: path.stat().st_ino for path in (folder / "run" / "store" / "parts").glob("*.json")}


def further(folder: Path, more: int, driver: subprocess.Popen[str]) -> None:
    """Wait until a driver has got some more parts."""
    before = len(sidecars(folder))
    while len(sidecars(folder)) < before + more:
        with suppress(subprocess.TimeoutExpired):
            raise AssertionError(driver.communicate(timeout=0.05))


def workers(of: int) -> Iterator[int]:
    """The processes of Ray that label, below a process."""
    parents = {int(p.name): p for p in Path("/proc").iterdir() if p.name.isdecimal()}
    for number, path in parents.items():
        try:
            above, named = number, b"ray::label_part" in (path / "cmdline").read_bytes()
            while named and above not in (0, of):
                above = int((parents[above] / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, KeyError):  # it has just ended
            continue
        if named and above == of:
            yield number


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of Ray in /proc")
def test_a_lost_worker_machine_and_driver_cost_their_parts_alone(
    tmp_path: Path, one: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two machines of a cluster, which are this one, and then Ray on this machine alone."""
    for name, value in {"MODE": "token", "TOKEN": "0123456789abcdef" * 4}.items():
        monkeypatch.setenv(f"RAY_AUTH_{name}", value)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    sizes = {"num_cpus": 1, "object_store_memory": on_ray.OBJECTS}
    cluster, folder = cluster_utils.Cluster(), tmp_path / "f"
    try:
        cluster.add_node(**sizes)
        other = cluster.add_node(**sizes)
        first = process(f"label {recipe_in(folder)} --on ray --address {cluster.address}")
        further(folder, 2, first)
        os.kill(next(workers(os.getpid())), signal.SIGKILL)
        further(folder, 3, first)
        cluster.remove_node(other, allow_graceful=False)
        further(folder, 3, first)
        first.kill()
        first.communicate()
    finally:
        cluster.shutdown()
    done = sidecars(folder)
    assert 0 < len(done) < status(Folder(folder / "run" / "store")).parts
    again = process(f"label {folder / 'recipe.toml'} --on ray")
    said = again.communicate(timeout=200)
    assert again.returncode == 0, said
    assert done.items() <= sidecars(folder).items()
    assert tiny_parts.contents(folder / "run" / "store") == one


def test_a_cluster_of_other_machines_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    for address in ("10.0.0.5:6379", "cluster.example:6379", "[2001:db8::1]:6379"):
        with pytest.raises(UsageError, match="Set RAY_AUTH_MODE=token"):
            sh.label({}, on="ray", address=address, verbose=False)
    for own in ("127.0.0.1:6379", "localhost:6379", "[::1]:6379", None):
        on_ray.check_address(own)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    on_ray.check_address("10.0.0.5:6379")


@pytest.mark.parametrize("address", ["auto", "ray://10.0.0.5:10001", "10.0.0.5", "127.0.0.1:6379@10.0.0.5:1", ""])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="write HOST:PORT"):
        sh.label({}, on="ray", address=address, verbose=False)


@pytest.mark.enable_socket
def test_an_address_where_nobody_answers_is_refused_at_once() -> None:
    """Ray itself tries again for a quarter of an hour."""
    with pytest.raises(UsageError, match=r"Ray cannot be reached at 127.0.0.1:1 \(.*refused\)"):
        on_ray.reach("127.0.0.1:1")


def test_objects_do_not_go_to_ray(tmp_path: Path) -> None:
    rows = np.zeros((8, 2), "float32"), np.arange(8) % 2
    given: dict[str, Any] = {"teacher": nn.Linear(2, 2), "data": (rows, rows, rows)}
    for name, value in given.items():
        with pytest.raises(UsageError, match=f"cannot see the object that was passed as {name}"):
            sh.label({}, on="ray", out=tmp_path, verbose=False, **{name: value})


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ, RAY_AUTH_MODE="token"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'stillhouse\[ray\]'"):
        sh.label({}, on="ray", out=tmp_path / "run", verbose=False)
    assert not (tmp_path / "run").exists()


def test_a_process_that_has_imported_ray_without_a_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="Set RAY_AUTH_MODE=token before"):
        on_ray.set_environment(local=True)


def test_ray_excludes_what_it_does_itself() -> None:
    with pytest.raises(UsageError, match="Leave out --plan and --shard"):
        sh.label({}, on="ray", shard="0/2")
    with pytest.raises(UsageError, match="Write `--on ray` too"):
        sh.label({}, address="127.0.0.1:1")
