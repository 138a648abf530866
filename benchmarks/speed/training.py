"""Steps and epochs: against a loop written by hand, against torchdistill, and against what cannot be had for less."""

from __future__ import annotations

from functools import partial

from benchmarks.speed import loops
from benchmarks.speed.nets import L, M, S, World
from benchmarks.speed.peer import Peer
from benchmarks.speed.timing import Row, floor, interleaved, profile_of, ratio

from stillhouse.data import Views

EPOCHS = 10


def steps(quick: bool) -> list[Row]:
    """The step with all logging on over the loop written by hand."""
    return [
        step(S, 100 if quick else S.steps, 2 if quick else 11, "<= 1.05", 1.05),
        step(M, 3 if quick else M.steps, 1 if quick else 5, "<= 0.68", 0.68),
        step(L, 4, 1 if quick else 8, "inside the noise floor", None),  # a machine with two speeds needs this many
    ]


def step(world: World, count: int, rounds: int, target: str, most: float | None) -> Row:
    """One world's step."""
    cases = {
        "engine": partial(loops.engine_step, world, count),
        "hand": partial(loops.by_hand, world, count),
        "hand again": partial(loops.by_hand, world, count),
    }
    found = interleaved(cases, rounds)
    value, noise = ratio(found, "engine", "hand"), floor(found, "hand", "hand again")
    row = Row(
        f"step with all logging on / hand-written loop, {world.name}",
        target,
        value,
        value <= (1 + noise if most is None else most),
        floor=noise,
        seconds=found,
    )
    if not row.met:
        row.profile = profile_of(partial(loops.engine_step, world, count))
    return row


def epochs(quick: bool) -> list[Row]:
    """Ten epochs from cold over torchdistill's."""
    rows = []
    with Peer() as peer:
        for world, most in ((M, 0.20), (L, 0.35)):
            if quick and world is L:
                continue
            count = EPOCHS * world.rows // world.batch_size
            cases = {
                "stillhouse": partial(loops.from_cold, world, count),
                "torchdistill": partial(peer.seconds, world.name),
                "torchdistill again": partial(peer.seconds, world.name),
            }
            found = interleaved(cases, 1 if quick or world is L else 3)
            value = ratio(found, "stillhouse", "torchdistill")
            row = Row(
                f"10 epochs {world.name} from cold, labelling included / torchdistill",
                f"<= {most:.2f}",
                value,
                value <= most,
                floor=floor(found, "torchdistill", "torchdistill again"),
                seconds=found,
            )
            if not row.met:
                row.profile = profile_of(partial(loops.from_cold, world, count))
            rows.append(row)
    return rows


def store(quick: bool) -> list[Row]:
    """What training from the store costs beside the student alone, and what a replayed view costs."""
    count = EPOCHS * M.rows // M.batch_size
    found = interleaved(
        {
            "with store": partial(loops.from_cold, M, count),
            "alone": partial(loops.parts, M, count),
            "alone again": partial(loops.parts, M, count),
        },
        1 if quick else 3,
    )
    value = ratio(found, "with store", "alone")
    rows = [
        Row("10 epochs M with store / (student alone + one teacher pass)", "<= 1.05", value, value <= 1.05,
            floor=floor(found, "alone", "alone again"), seconds=found)
    ]  # fmt: skip
    if not rows[0].met:
        rows[0].profile = profile_of(partial(loops.from_cold, M, count))
    return [*rows, view(20 if quick else count, 1 if quick else 3)]


def view(count: int, rounds: int) -> Row:
    """Training on replayed views over training on the rows as they are, from answers asked before."""
    shifted = Views("shift", 2, 2.0, 0)
    with loops.scratch() as folder:
        plain = loops.stored(M, folder / "plain")
        moved = loops.stored(M, folder / "moved", shifted)
        found = interleaved(
            {
                "replayed": partial(loops.engine_fit, M, count, answer=moved.outputs, views=shifted),
                "as they are": partial(loops.engine_fit, M, count, answer=plain.outputs),
                "as they are again": partial(loops.engine_fit, M, count, answer=plain.outputs),
            },
            rounds,
        )
    value = ratio(found, "replayed", "as they are")
    return Row("training on a stored view, replayed / no augmentation, M", "<= 1.05", value, value <= 1.05,
               floor=floor(found, "as they are", "as they are again"), seconds=found)  # fmt: skip
