"""A store in parts: any process may write any part, the first wins, and the result is the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillhouse import store
from stillhouse.errors import DamagedError, RejectedError, UsageError
from stillhouse.store import Field, Key, Store
from stillhouse.store.part_care import merge, status
from stillhouse.store.part_reading import LOOKED
from stillhouse.store.part_writing import settle_plan, write_part
from stillhouse.store.parts import Plan, part_rows, sidecar_name
from stillhouse.store.places import Folder
from tests.store import tiny, tiny_parts
from tests.store.tiny_parts import PLAN

PAGE = Path(__file__).parents[2] / "docs" / "store.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A merged store."""
    tiny_parts.merged(tmp_path / "s")
    return tmp_path / "s"


def test_parts_in_any_order_and_one_twice_give_the_bytes_of_one_process(tmp_path: Path, folder: Path) -> None:
    place = Folder(tmp_path / "many")
    for share in ([2], [0], [0, 1], [1]):
        tiny_parts.label(place, share)
    merge(place)
    assert tiny_parts.contents(place.folder) == tiny_parts.contents(folder)
    tiny.assert_answers(Store.open(place.folder))


def test_a_reader_of_the_page_reads_it(folder: Path) -> None:
    """The page's own code, which has numpy alone."""
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "parts/" in block)
    assert len(code.splitlines()) <= 50
    assert "stillhouse." not in code
    names: dict[str, type] = {}
    exec(code, names)
    reader, truth = names["Reader"](folder), tiny.answers(tiny.inputs())
    for row in range(tiny.ROWS):
        for view in range(tiny.VIEWS):
            for name, value in reader.read(row, view).items():
                np.testing.assert_array_equal(value, truth[name][row, view])


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_a_batch_is_what_the_store_in_one_piece_gives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    base = tmp_path_factory.getbasetemp()
    if not (base / "v1").exists():
        tiny.label(base / "v1")
        tiny_parts.merged(base / "v2")
    count = data.draw(st.integers(0, 12))
    rows = np.array(data.draw(st.lists(st.integers(0, tiny.ROWS - 1), min_size=count, max_size=count)), np.int64)
    views = np.array(data.draw(st.lists(st.integers(0, tiny.VIEWS - 1), min_size=count, max_size=count)), np.int64)
    one, two = Store.open(base / "v1"), Store.open(base / "v2")
    for name, array in one.read(rows, views).items():
        np.testing.assert_array_equal(two.read(rows, views)[name], array)
    for name, array in one.raw(rows).items():
        np.testing.assert_array_equal(two.raw(rows)[name], array)


def test_rows_outside_or_not_labelled_yet_are_refused(tmp_path: Path, folder: Path) -> None:
    zero = np.zeros(1, np.int64)
    for rows, views in (([tiny.ROWS], [0]), ([-1], [0]), ([0], [tiny.VIEWS])):
        with pytest.raises(UsageError, match="has rows 0-9 and views 0-1"):
            Store.open(folder).read(np.array(rows), np.array(views))
    place = Folder(tmp_path / "half")
    tiny_parts.label(place, [0])
    half = Store.open(place.folder)
    assert (half.rows_done, half.complete) == (4, False)
    half.read(zero, zero)
    with pytest.raises(RejectedError, match=r"Rows 4-7 .* \(part 1\) are not labelled yet"):
        half.read(zero + 4, zero)


def test_parts_have_the_power_of_two_of_rows_that_is_nearest() -> None:
    fields = [Field("logits", (10,), "float16")]  # 20 bytes
    assert [part_rows(fields, 1, n) for n in (1, 20, 59, 61, 100, 1 << 28)] == [1, 1, 2, 4, 4, 1 << 24]
    assert part_rows(fields, 4, 100) == 1


def test_status_names_done_missing_and_running(tmp_path: Path) -> None:
    place = Folder(tmp_path / "new")
    tiny_parts.label(place, [1])

    def looking(rows: tiny.Array) -> dict[str, tiny.Array]:
        told = status(place)
        assert (told.done, told.missing, told.running, told.merged) == (1, [0, 2], [2], False)
        return tiny_parts.answers(rows)

    write_part(place, PLAN, 2, looking, tiny_parts.hashes)
    told = status(place)
    assert (told.done, told.missing, told.running) == (2, [0], [])


def test_merge_refuses_missing_parts_by_name(tmp_path: Path) -> None:
    place = Folder(tmp_path / "new")
    tiny_parts.label(place, [1])
    with pytest.raises(RejectedError, match=r"parts 0, 2 of 3 missing. Run `stillhouse label RECIPE --shard 0/3`"):
        merge(place)
    tiny_parts.label(place)  # the cure
    merge(place)


def test_merge_refuses_foreign_parts_by_name(tmp_path: Path) -> None:
    place, other = Folder(tmp_path / "new"), Folder(tmp_path / "other")
    tiny_parts.label(place)
    tiny_parts.label(other, plan=replace(PLAN, key=Key({"teacher": "t2"})))
    side = place.folder / "parts" / "00000001.json"
    sound = side.read_bytes()
    side.write_bytes((other.folder / "parts" / side.name).read_bytes())
    with pytest.raises(RejectedError, match=r"00000001.json is foreign: it is a part of another store"):
        merge(place)
    side.write_bytes((side.parent / "00000000.json").read_bytes())
    with pytest.raises(RejectedError, match=r"00000001.json is foreign: it is part 0 of this store"):
        merge(place)
    side.write_bytes(sound)
    (side.parent / "00000003.json").write_bytes(sound)
    with pytest.raises(RejectedError, match=r"foreign: parts/00000003.json"):
        merge(place)
    (side.parent / "00000003.json").unlink()
    merge(place)


@pytest.mark.parametrize("kind", ["changed", "cut", "gone", "sidecar"])
def test_merge_refuses_damaged_parts_by_name_and_repair_and_label_cure_them(
    tmp_path: Path, folder: Path, kind: str
) -> None:
    place = Folder(tmp_path / "new")
    tiny_parts.label(place)
    parts = place.folder / "parts"
    file = parts / "00000001.json" if kind == "sidecar" else next(parts.glob("00000001.logits.*"))
    if kind in ("changed", "sidecar"):
        tiny_parts.change(file)
    else:
        file.write_bytes(b"") if kind == "cut" else file.unlink()
    with pytest.raises(DamagedError, match=r"(?i)part 1|00000001.*repair"):
        merge(place)
    assert store.repair(place.folder)
    assert status(place).missing == [1]
    assert tiny_parts.label(place) == [1]
    merge(place)
    assert tiny_parts.contents(place.folder) == tiny_parts.contents(folder)


def test_merge_twice_doubles_nothing(folder: Path) -> None:
    before = tiny_parts.contents(folder)
    merge(Folder(folder))
    assert tiny_parts.contents(folder) == before
    assert Store.open(folder).rows == tiny.ROWS


def test_two_tasks_with_one_name_are_told_apart(tmp_path: Path) -> None:
    """Of other settings: refused by the plan. Of a teacher that answers differently: refused at its first part."""
    place = Folder(tmp_path / "new")
    tiny_parts.label(place, [0])
    with pytest.raises(RejectedError, match="teacher weights differ"):
        tiny_parts.label(place, plan=replace(PLAN, key=Key({**tiny.KEY.parts, "teacher": "t2"})))
    before = tiny_parts.contents(place.folder)
    with pytest.raises(RejectedError, match=r"Part 0 .* was answered twice, and the answers differ"):
        write_part(place, PLAN, 0, lambda rows: tiny_parts.answers(rows + 1), tiny_parts.hashes)
    assert {name: data for name, data in tiny_parts.contents(place.folder).items() if name in before} == before


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_of_two_writers_of_a_part_one_wins_every_time(tmp_path: Path, rounds: int) -> None:
    plan = replace(tiny_parts.MANY, rows=rounds)
    place, fork = Folder(tmp_path / "new"), multiprocessing.get_context("fork")
    tiny_parts.label(place, [], plan)
    barrier = fork.Barrier(2)

    def race() -> None:
        won = 0
        for number in range(plan.parts):
            barrier.wait()
            won += write_part(place, plan, number, tiny_parts.answers)
        (tmp_path / f"{os.getpid()}.won").write_text(str(won))

    children = [fork.Process(target=race) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    won = [int(path.read_text()) for path in tmp_path.glob("*.won")]
    assert (sum(won), len(won)) == (rounds, 2)
    merge(place)
    names = tiny_parts.contents(place.folder)
    assert sum(name.startswith("parts/") for name in names) == rounds * (1 + len(tiny.FIELDS))
    assert not store.verify(place.folder)
    tiny.assert_answers(Store.open(place.folder), tiny.inputs(rounds))


@pytest.mark.slow
def test_kill_9_at_twenty_random_moments_loses_at_most_a_part(tmp_path: Path, folder: Path) -> None:
    """The operations of a whole run are counted; then a process is killed behind a random one, twenty times."""
    from stillhouse.store import disk

    def counted(place: Folder, kill_at: int | None, seen: list[int]) -> None:
        for name in disk.WRITES:

            def wrapped(*arguments: object, function: object = getattr(disk, name)) -> object:
                seen.append(0)
                if kill_at is not None and len(seen) > kill_at:
                    tiny.die()
                return function(*arguments)  # type: ignore[operator]

            setattr(disk, name, wrapped)
        tiny_parts.label(place)
        (tmp_path / "count").write_text(str(len(seen)))

    assert tiny.in_child(lambda: counted(Folder(tmp_path / "count_of"), None, [])) == 0
    total, draw = int((tmp_path / "count").read_text()), random.Random(0)
    for round_ in range(20):
        place, at = Folder(tmp_path / str(round_)), draw.randrange(total)
        assert tiny.in_child(lambda place=place, at=at: counted(place, at, [])) == -9  # type: ignore[misc]
        tiny_parts.label(place)
        merge(place)
        assert tiny_parts.contents(place.folder) == tiny_parts.contents(folder)
        assert not store.verify(place.folder)


def test_what_a_killed_writer_leaves_is_no_part(tmp_path: Path, folder: Path) -> None:
    place = Folder(tmp_path / "new")

    def dying(rows: tiny.Array) -> dict[str, tiny.Array]:
        if rows[0] >= 6:
            tiny.die()
        return tiny_parts.answers(rows)

    def work() -> None:
        tiny_parts.label(place, [0])
        write_part(place, PLAN, 1, dying, tiny_parts.hashes)

    assert tiny.in_child(work) == -9
    assert status(place).missing == [1, 2]
    assert status(place).running == [1]  # as far as anybody can tell
    tiny_parts.label(place)
    merge(place)
    assert tiny_parts.contents(place.folder) == tiny_parts.contents(folder)


def test_the_commands_for_stores_know_parts(tmp_path: Path, folder: Path) -> None:
    listed = store.ls(tmp_path)[0]
    assert (listed.folder, listed.rows, listed.rows_done, listed.complete) == (folder, 10, 10, True)
    assert not store.verify(folder)
    (folder / "parts" / "notes.txt").write_text("mine")
    assert [str(found) for found in store.verify(folder)] == ["parts/notes.txt: foreign: not a file of this store"]
    (folder / "parts" / "notes.txt").unlink()
    tiny.label(tmp_path / "v1")
    assert store.why(folder, tmp_path / "v1") == []
    other = replace(PLAN, key=Key({"teacher": "t2"}))
    tiny_parts.merged(tmp_path / "other", other)
    assert "teacher weights differ" in store.why(folder, tmp_path / "other")
    assert store.gc(tmp_path, keep=[PLAN.key.digest]) == [tmp_path / "other"]
    aside = store.supersede(folder)
    tiny.assert_answers(Store.open(aside))
    assert store.gc(tmp_path) == [aside]
    assert not aside.exists()


@pytest.mark.parametrize("name", ["manifest.json", "plan.json"])
def test_root_and_plan_each_stand_for_the_other_when_one_is_damaged(folder: Path, name: str) -> None:
    tiny_parts.change(folder / name)
    assert store.verify(folder)
    store.repair(folder)
    assert not store.verify(folder)
    tiny.assert_answers(Store.open(folder))


def test_a_part_that_is_cut_short_is_named_by_reads_of_other_parts(folder: Path) -> None:
    opened = Store.open(folder)
    rows = np.arange(opened.rows)
    opened.read(rows, np.zeros_like(rows))
    cut = next((folder / "parts").glob("00000001.logits.*"))
    os.truncate(cut, 10)
    with pytest.raises(DamagedError, match=rf"{cut.name}: the file was cut to 10 bytes.*store repair"):
        _ = [opened.read(rows[:2], np.zeros_like(rows[:2])) for _ in range(LOOKED)]


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2)])
@pytest.mark.parametrize("rows", [1, 4, 5, 11])
def test_parts_of_all_sizes_and_headers_of_all_lengths_read_as_they_were_written(
    tmp_path: Path, shape: tuple[int, ...], rows: int
) -> None:
    fields = (Field("a", shape, "int16"), Field("b", (5,), "float32"))
    plan = Plan(Key({}), fields, rows, 3, 3, 4, hashed=False, batch=2)
    drawn = np.random.default_rng(0)
    whole = {
        "a": drawn.integers(0, 99, (rows, 3, *shape)).astype("<i2"),
        "b": drawn.normal(size=(rows, 3, 5)).astype("<f4"),
    }
    settle_plan(place := Folder(tmp_path), plan)
    for number in range(plan.parts):
        write_part(place, plan, number, lambda at: {name: array[at] for name, array in whole.items()})
    merge(place)
    opened = Store.open(tmp_path)
    at, views = drawn.integers(rows, size=40), drawn.integers(3, size=40)
    for name, found in opened.read(at, views).items():
        assert np.array_equal(found, whole[name][at, views])
    for name, found in opened.raw(at).items():
        assert np.array_equal(found, whole[name][at])
    for outside in (-1, rows):
        with pytest.raises(UsageError, match="training asks"):
            opened.raw(np.array([outside]))


def test_a_read_finds_a_changed_bit_before_it_is_used(folder: Path) -> None:
    tiny_parts.change(next((folder / "parts").glob("00000001.logits.*")))
    opened, zero = Store.open(folder), np.zeros(1, np.int64)
    opened.read(zero, zero)
    with pytest.raises(DamagedError, match=r"00000001.logits.*npy, block 1: its bytes do not match"):
        opened.read(zero + 7, zero)
    assert len(store.verify(folder)) == 1


def test_a_changed_sidecar_of_a_merged_store_is_found(folder: Path) -> None:
    side = folder / "parts" / "00000002.json"
    tiny_parts.change(side)
    with pytest.raises(DamagedError, match="not the sidecar that was merged"):
        Store.open(folder).read(np.array([9]), np.array([0]))
    store.repair(folder)
    assert status(Folder(folder)).missing == [2]


def test_opening_a_merged_store_reads_the_root_alone(folder: Path) -> None:
    """So a store of any number of rows opens at once: nothing of a part is read before its rows are."""
    for side in (folder / "parts").glob("*.json"):
        side.unlink()
    opened = Store.open(folder, tiny.KEY)
    assert (opened.rows, opened.complete, opened.rows_done, opened.nbytes) == (10, True, 10, PLAN.nbytes)
    with pytest.raises(DamagedError, match=r"parts/00000001.json: the file is missing"):
        opened.read(np.array([4]), np.array([0]))


def test_the_status_of_a_thousand_million_rows_follows_from_names(tmp_path: Path) -> None:
    place = Folder(tmp_path / "new")
    plan = replace(PLAN, rows=10**9, part_rows=1 << 21)
    tiny_parts.label(place, [], plan)
    for number in range(0, plan.parts, 2):
        place.create(sidecar_name(number), b"not read")
    told = status(place)
    assert (told.parts, told.done, told.missing[:2]) == (477, 239, [1, 3])
    assert Store.open(place.folder).rows_done == 1 << 21
