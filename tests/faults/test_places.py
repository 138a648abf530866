"""Paths and addresses that name no place: refused by their key, before anything is written, trained or asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillhouse import recipe
from stillhouse.errors import UsageError
from stillhouse.store.buckets import Bucket
from tests.shell import run

KEYS = ("data.path", "data.images", "data.text", "data.tokenizer", "teacher.file", "student.start", "store.dir",
        "store.cache", "output.dir")  # fmt: skip


@pytest.mark.fault("F18", "a path in a recipe that can be none: an address, a NUL, a name of 5,000 letters", exit=2)
@pytest.mark.parametrize(
    "value", ["gs://bucket/answers", "S3://bucket/answers", "https://host/a.csv", "a\\u0000b", "a" * 5000]
)
def test_a_path_that_can_be_none_is_refused_by_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for key in KEYS:
        table, _, name = key.partition(".")
        Path("recipe.toml").write_text(f'[{table}]\n{name} = "{value}"\n')
        with pytest.raises(UsageError, match=f"recipe.toml: {key} = "):
            recipe.read(Path("recipe.toml"))
    code, _, err = run("label recipe.toml")
    assert (code, f"recipe.toml: {KEYS[-1]} = " in err) == (2, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


@pytest.mark.fault("F18", "an address of a bucket that is none, for a recipe and for every command of stores", exit=2)
@pytest.mark.parametrize(
    "address", ["s3://[x/y", "s3://", "s3://bucket", "s3://bucket/../a", "s3://b ket/a", "gs://bucket/a"]
)
def test_an_address_of_no_bucket_is_refused_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in ("store verify", "store status", "store merge", "store repair", "store ls", "store gc"):
        assert run(f"{command} '{address}'")[0] == 2, command
    code, _, err = run(f"label --data.name digits --store.dir '{address}'")
    assert (code, "store.dir" in err) == (2, True), err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_holds_no_stores_and_that_is_said(tmp_path: Path) -> None:
    for command in ("ls", "gc"):
        code, _, err = run(f"store {command} {tmp_path / 'none'}")
        assert (code, "There is no folder" in err) == (2, True), err


@pytest.mark.fault(
    "C12", "a bucket without keys: the machine's own, at a link-local address, are not asked for", exit=2
)
def test_a_bucket_without_keys_asks_no_machine_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_METADATA_ENDPOINT", "AWS_SKIP_SIGNATURE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID"):
        Bucket("s3://bucket/answers").has("manifest.json")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    assert Bucket("s3://bucket/answers").client is not None
