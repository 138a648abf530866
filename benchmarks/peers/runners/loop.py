"""Pictures: a loop of distillation as one writes it in an afternoon, and FixMatch-like training without a teacher.

Both train our student's net, written again here, with AdamW, a warm-up and a cosine, 600 steps of 128 pictures, as our
recipe does. The loop moves each picture by up to two pixels and keeps the teacher's answer to the unmoved one: asking
again for each batch would cost a pass of the teacher a step.
FixMatch: Sohn et al., NeurIPS 2020; here with few steps, and random shears and a cut square as the strong view.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812
from benchmarks.peers.runners.common import Array, Model, World, run
from torch import Tensor, nn

STEPS, BATCH, LR, DECAY, WARM = 600, 128, 2e-2, 1e-4, 0.1
TEMPERATURE = 4.0
MOVED = 2  # pixels
LABELLED, SURE = 64, 0.95  # FixMatch: labelled rows of a batch; how sure a pseudo-label must be
CUT = 8  # pixels of a side of the square that the strong view loses


def rows(world: World, numbers: Array) -> Array:
    found: Array = world.pictures[numbers]
    return found


def pixels(given: Array) -> Tensor:
    """Pictures (N, 28, 28) as float32 (N, 1, 28, 28) between 0 and 1."""
    return torch.from_numpy(given)[:, None].float() / 255


def net(seed: int) -> nn.Sequential:
    """Three strided convolutions and a linear layer, 4,354 parameters."""
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for wide, narrow, kernel in ((1, 8, 5), (8, 12, 3), (12, 12, 3)):
        conv = nn.Conv2d(wide, narrow, kernel, stride=2, padding=kernel // 2, bias=False)
        parts += [conv, nn.BatchNorm2d(narrow), nn.ReLU()]
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(12 * 16, 10))


def moved(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each picture moved by up to ``MOVED`` pixels."""
    padded, side = F.pad(x, (MOVED,) * 4), torch.arange(28)
    down, right = torch.randint(0, 2 * MOVED + 1, (2, len(x), 1), generator=draw)
    every = torch.arange(len(x))[:, None, None]
    return padded[every, 0, (down + side)[:, :, None], (right + side)[:, None, :]][:, None]


def strong(x: Tensor, draw: torch.Generator) -> Tensor:
    """Rotated, scaled, sheared, moved, and without one square."""
    n = len(x)
    turn, scale, shear, right, down = (torch.rand(5, n, generator=draw) * 2 - 1) * torch.tensor(
        [[0.35], [0.2], [0.25], [0.2], [0.2]]
    )
    grid = torch.zeros(n, 2, 3)
    grid[:, 0, 0], grid[:, 0, 1], grid[:, 0, 2] = turn.cos() * (1 + scale), -turn.sin() + shear, right
    grid[:, 1, 0], grid[:, 1, 1], grid[:, 1, 2] = turn.sin(), turn.cos() * (1 + scale), down
    found = F.grid_sample(x, F.affine_grid(grid, list(x.shape), align_corners=False), align_corners=False)
    corner, side = torch.randint(0, 28 - CUT + 1, (2, n, 1), generator=draw), torch.arange(28)
    lost = (side >= corner) & (side < corner + CUT)
    return found.masked_fill((lost[0][:, :, None] & lost[1][:, None, :])[:, None], 0.0)


def batches(n: int, size: int, draw: torch.Generator) -> Iterator[Tensor]:
    """Whole batches of epoch after epoch."""
    while True:
        yield from torch.split(torch.randperm(n, generator=draw)[: n // size * size], size)


def optimizer(model: nn.Module) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW with a linear warm-up and a cosine to zero."""
    found = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    warm = round(WARM * STEPS)

    def share(step: int) -> float:
        return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (STEPS - warm)))

    return found, torch.optim.lr_scheduler.LambdaLR(found, share)


def step(optimize: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler, loss: Tensor) -> None:
    optimize.zero_grad()
    torch.autograd.backward(loss)
    optimize.step()
    schedule.step()


def distilled(world: World, seed: int) -> Model:
    """Hinton's loss against the stored answers."""
    draw, model = torch.Generator().manual_seed(seed), net(seed)
    x, answers = pixels(rows(world, world.train)), torch.from_numpy(world.answers).clamp(min=1e-7).log()
    optimize, schedule = optimizer(model)
    source = batches(len(x), BATCH, draw)
    for _ in range(STEPS):
        rows_now = next(source)
        student = F.log_softmax(model(moved(x[rows_now], draw)) / TEMPERATURE, 1)
        wanted = F.log_softmax(answers[rows_now] / TEMPERATURE, 1)
        loss = F.kl_div(student, wanted, reduction="batchmean", log_target=True) * TEMPERATURE**2
        step(optimize, schedule, loss)
    return packed(model)


def fixmatch(world: World, seed: int) -> Model:
    """Labels, and the net's own sure answers to moved pictures as labels of strongly changed ones."""
    draw, model = torch.Generator().manual_seed(seed), net(seed)
    x, known = pixels(rows(world, world.train)), torch.from_numpy(world.labelled)
    y = torch.from_numpy(world.labels)
    optimize, schedule = optimizer(model)
    own, pool = batches(len(known), LABELLED, draw), batches(len(x), BATCH, draw)
    for _ in range(STEPS):
        labelled, other = known[next(own)], next(pool)
        views = torch.cat([moved(x[labelled], draw), moved(x[other], draw), strong(x[other], draw)])
        by_label, weak, changed = model(views).split([LABELLED, BATCH, BATCH])
        sure, guessed = weak.detach().softmax(1).max(1)
        pseudo = (F.cross_entropy(changed, guessed, reduction="none") * (sure > SURE)).mean()
        step(optimize, schedule, F.cross_entropy(by_label, y[labelled]) + pseudo)
    return packed(model)


def packed(model: nn.Module) -> Model:
    """Ready to answer."""
    model.eval()

    def predict(given: Array) -> Array:
        with torch.no_grad():
            found: Array = model(pixels(given)).softmax(1).numpy()
        return found

    return Model(predict, sum(value.numel() * value.element_size() for value in model.state_dict().values()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    run({"distilled": (distilled, 1), "fixmatch": (fixmatch, 1)}, rows, ("torch",))
