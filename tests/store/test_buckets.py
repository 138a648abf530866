"""A store in parts in a bucket: the same bytes as in a folder, on a real server; a careless server is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stillhouse import recipe
from stillhouse.errors import DamagedError, StillhouseError, StoppedError, UsageError
from stillhouse.store import Store
from stillhouse.store.buckets import Bucket, mirror
from stillhouse.store.part_care import merge, repair, status, verify
from stillhouse.store.part_writing import settle_plan
from tests.pipeline import test_shards
from tests.shell import run
from tests.store import tiny, tiny_parts
from tests.store.servers import KEYS, careless, weed

pytestmark = pytest.mark.enable_socket


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that answers."""
    with weed(tmp_path_factory.mktemp("weed")) as address, pytest.MonkeyPatch.context() as patch:
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        until = time.monotonic() + 60
        while True:
            try:
                Bucket("s3://tests/probe").try_server()
                break
            except StillhouseError:
                if time.monotonic() > until:
                    raise
        yield address


@pytest.fixture
def bucket(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A prefix of its own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    return Bucket(f"s3://tests/{tmp_path.name}", tmp_path / "copy")


def test_a_server_that_ignores_conditional_writes_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with careless() as (address, objects):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(UsageError, match="ignores conditional writes"):
            settle_plan(Bucket("s3://tests/a", tmp_path), tiny_parts.PLAN)
        assert not objects  # nothing is left of it


def test_an_address_names_bucket_and_prefix_and_is_no_path() -> None:
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
        Bucket("s3://bucket")
    store = recipe.parse({"store": {"dir": "s3://bucket/a", "cache": "c"}}).store
    assert (store.dir, recipe.parse({"store": {"dir": "answers"}}).store.dir) == ("s3://bucket/a", Path("answers"))
    there = recipe.parse({"store": {"dir": "s3://bucket/a"}})
    assert there.absolute().store.dir == "s3://bucket/a"
    assert 'dir = "s3://bucket/a"' in run("label --store.dir s3://bucket/a --print-recipe")[1]
    with pytest.raises(UsageError, match="a bucket is given as text"):
        recipe.parse({"store": {"dir": Path("s3://bucket/a")}})
    assert there.digest() == recipe.parse({}).digest()  # a place does not change a run


@pytest.mark.slow
def test_a_server_that_is_not_there_stops_the_run_and_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoppedError, match="All committed parts are kept"):
        settle_plan(Bucket("s3://tests/a", tmp_path), tiny_parts.PLAN)


@pytest.mark.slow
def test_a_bucket_holds_the_bytes_of_a_folder_and_its_copy_is_a_store(bucket: Bucket, tmp_path: Path) -> None:
    tiny_parts.merged(tmp_path / "local")
    tiny_parts.label(bucket, [2, 0])
    told = status(bucket)
    assert (told.done, told.missing) == (2, [1])
    tiny_parts.label(bucket)
    merge(bucket)
    truth = tiny_parts.contents(tmp_path / "local")
    assert {
        name: bucket.read(name) for name in [*bucket.names(), "plan.json", "manifest.json"]
    }.items() <= truth.items()
    fresh = Bucket(str(bucket), tmp_path / "fresh")
    folder = mirror(fresh).folder
    tiny.assert_answers(Store.open(folder))
    assert {n: d for n, d in tiny_parts.contents(folder).items() if n != "plan.json"}.items() <= truth.items()
    assert not verify(bucket)


@pytest.mark.slow
def test_a_warm_copy_needs_no_server(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_parts.label(bucket)
    merge(bucket)
    copy = mirror(bucket).folder
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    tiny.assert_answers(Store.open(copy, tiny.KEY))


@pytest.mark.slow
def test_damage_in_a_bucket_is_found_and_repaired(bucket: Bucket, tmp_path: Path) -> None:
    import obstore

    tiny_parts.label(bucket)
    merge(bucket)
    name = next(name for name in bucket.names() if name.startswith("parts/00000001.logits"))
    obstore.put(bucket.client, name, b"x" * bucket.size(name))
    with pytest.raises(DamagedError, match="store repair s3://"):
        mirror(Bucket(str(bucket), tmp_path / "fresh"))
    assert repair(bucket)
    assert tiny_parts.label(bucket) == [1]
    merge(bucket)
    assert not verify(bucket)


RACE = """
import sys
from pathlib import Path
from stillhouse.store.buckets import Bucket
from stillhouse.store.part_writing import write_part
from tests.store import tiny_parts
place = Bucket(sys.argv[1], Path(sys.argv[2]))
place.try_server()
won = []
for number in range(tiny_parts.MANY.parts):
    sys.stdin.readline()
    won.append(write_part(place, tiny_parts.MANY, number, tiny_parts.answers))
    print(number, flush=True)
print(sum(won), flush=True)
"""


@pytest.mark.slow
def test_of_two_writers_of_a_part_in_a_bucket_one_wins_fifty_times(bucket: Bucket, tmp_path: Path) -> None:
    tiny_parts.label(bucket, [], tiny_parts.MANY)
    command = [sys.executable, "-c", RACE, str(bucket)]
    racers = [
        subprocess.Popen([*command, str(tmp_path / str(i))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for i in range(2)
    ]
    for _ in range(tiny_parts.MANY.parts):
        for racer in racers:
            print("go", file=racer.stdin, flush=True)
        for racer in racers:
            next(iter(racer.stdout or ()))
    won = [int((racer.stdout or ()).read()) for racer in racers]  # type: ignore[union-attr]
    assert [racer.wait() for racer in racers] == [0, 0]
    assert sum(won) == 50
    merge(bucket)
    assert sum(json.loads(bucket.read(n))["part"] >= 0 for n in bucket.names() if n.endswith(".json")) == 50
    tiny.assert_answers(Store.open(mirror(bucket).folder), tiny.inputs(50))


@pytest.mark.slow
def test_a_run_labels_into_a_bucket_and_reads_its_copy(bucket: Bucket, tmp_path: Path) -> None:
    there = {**test_shards.RECIPE, "store": {"block_rows": 16, "part_bytes": 200, "dir": str(bucket), "cache": "c"}}
    there["store"]["cache"] = str(tmp_path / "cache")
    told = test_shards.label(tmp_path / "run", there, plan=True)
    assert told["store"].startswith("s3://tests/")
    test_shards.label(tmp_path / "run", there, shard="1/2")
    told = test_shards.label(tmp_path / "run", there)  # the rest, and merges
    assert Path(told["store"]).is_relative_to(tmp_path / "cache")
    test_shards.label(tmp_path / "one")
    truth = Store.open(tmp_path / "one" / "store").raw(np.arange(110))["logits"]
    np.testing.assert_array_equal(Store.open(told["store"]).raw(np.arange(110))["logits"], truth)
